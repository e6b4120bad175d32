"""Vendors' errors turned into ours, and counted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from kdstore.errors import ObjectNotFound, StorageUnavailable


class Failures:
    """Translates what a store raises; safe to share by threads."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._count = 0

    @property
    def count(self) -> int:
        """How many times storage has failed."""
        return self._count

    @contextmanager
    def translated(self, key: str, *, reads: bool = True) -> Iterator[None]:
        """Turn vendors' errors into ours. What the source of a write raises is left as it is.

        Raises:
            ObjectNotFound: there is no object of this key.
            StorageUnavailable: storage failed in another way.
        """
        try:
            yield
        except BaseError as error:
            raise self._failure(key) from error
        except OSError as error:
            if not reads:
                raise
            if isinstance(error, FileNotFoundError):
                raise ObjectNotFound(key) from error
            raise self._failure(key) from error

    def _failure(self, key: str) -> StorageUnavailable:
        with self._counting:
            self._count += 1
        return StorageUnavailable(f"Object storage failed for {key!r}.", key=key)
