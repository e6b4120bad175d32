"""Errors are facts: one drawn tree, a stable code each, and no HTTP number."""

import inspect
import re

from kdstore import errors
from kdstore.errors import KdstoreError, NotFound, UploadIncomplete

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, KdstoreError)
]


def test_docstring_draws_every_error_below_its_base() -> None:
    tree = inspect.getdoc(errors) or ""
    path: list[str] = []
    drawn: dict[str, str] = {}
    for line in tree.splitlines():
        match = re.match(r"^([│├└─ ]*)([A-Z]\w+)( {2,}|$)", line)
        if match:
            depth = len(match[1]) // 4
            path = [*path[:depth], match[2]]
            drawn[match[2]] = path[-2] if depth else "Exception"
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


def test_every_error_has_its_own_stable_code_and_a_docstring() -> None:
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert all(inspect.getdoc(cls) for cls in CLASSES)


def test_no_error_knows_an_http_number() -> None:
    assert re.findall(r"\b[45]\d\d\b|status_code", inspect.getsource(errors)) == []


def test_not_found_names_what_was_wanted() -> None:
    assert NotFound("x").wanted == "x"
    assert "'x'" in str(NotFound("x"))


def test_many_missing_parts_are_counted_and_not_all_listed() -> None:
    error = UploadIncomplete("upl_1", range(1, 101))
    assert len(error.missing) == 100
    assert "and 80 more" in error.message
