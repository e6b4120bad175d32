"""Ids inside a body: one that names nothing usable is a wrong field, not a missing page."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import InputsUnusable
from kdcore.errors import Problem
from kdstore.errors import NotFound, UploadNotStored


@contextmanager
def referenced_at(pointer: str) -> Iterator[None]:
    """Turn "not found" and "not stored" into a problem of the field at `pointer`.

    Raises:
        InputsUnusable: with the same code and message, and the pointer.
    """
    try:
        yield
    except (NotFound, UploadNotStored) as error:
        raise InputsUnusable([Problem(pointer, error.code, error.message)]) from error
