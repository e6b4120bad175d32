"""The one table from error class to HTTP status, and the errors that only HTTP knows.

ApiError
├── KeyMissing            no API key was sent
├── RoleTooLow            the key may not do this
├── InputsUnusable        a body refers to things that are missing, not ready, or do not fit
├── BodyRefused           a body that is not even looked into: too large, too deep, not JSON
│   ├── BodyTooLarge
│   ├── BodyTooDeep
│   ├── BodyNotJson
│   └── NulCharacter
├── BodyTooSlow           the body did not arrive in time
├── RangeUnsatisfiable    the range lies past the end of the file
└── NotReady              a part that the service needs is down
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from sqlalchemy import exc as database

from kdcore.errors import IncompatibleInputs, Problem, SpecInvalid
from kdstore import errors as store
from kdstore.tables import Role

RETRY_AFTER_SECONDS = 5


class ApiError(Exception):
    """Base of this tree; `code` is stable, `headers` go into the answer."""

    code: str = "api_error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class KeyMissing(ApiError):
    """No API key was sent."""

    code = "key_missing"

    def __init__(self) -> None:
        super().__init__("Send your API key as `Authorization: Bearer <key>`.")


class RoleTooLow(ApiError):
    """The key is valid, but its role may not do this."""

    code = "role_too_low"

    def __init__(self, *, role: Role, needed: Role) -> None:
        self.role = role
        self.needed = needed
        super().__init__(f"This needs a key with role {needed}; yours is {role}.")


class InputsUnusable(ApiError):
    """What a body refers to is missing or not ready; `code` is the first problem's."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        self.code = self.problems[0].code
        super().__init__(" ".join(problem.message for problem in self.problems))


class BodyRefused(ApiError):
    """A body that is not even looked into."""


class BodyTooLarge(BodyRefused):
    """The body has more bytes than a JSON body may have."""

    code = "body_too_large"

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        super().__init__(
            f"A JSON body has at most {max_bytes} bytes. Send files as parts of an upload."
        )


class BodyTooDeep(BodyRefused):
    """The body's lists and objects are nested too deeply."""

    code = "body_too_deep"

    def __init__(self, *, max_depth: int) -> None:
        self.max_depth = max_depth
        super().__init__(f"A JSON body is nested at most {max_depth} deep.")


class BodyNotJson(BodyRefused):
    """The body is announced as something else than JSON."""

    code = "body_not_json"

    def __init__(self) -> None:
        super().__init__("Send JSON, with `Content-Type: application/json`.")


class NulCharacter(BodyRefused):
    """The address or the body holds the character U+0000, which no text of ours may hold."""

    code = "nul_character"

    def __init__(self) -> None:
        super().__init__("Remove the character U+0000; no name or value may hold it.")


class BodyTooSlow(ApiError):
    """The body did not arrive in time."""

    code = "body_too_slow"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}

    def __init__(self, *, max_seconds: float) -> None:
        self.max_seconds = max_seconds
        super().__init__(f"The body must arrive within {max_seconds:.0f} seconds. Send it again.")


class UploadsBusy(ApiError):
    """Too many parts of uploads are on their way through this process."""

    code = "uploads_busy"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}  # its body is left unread

    def __init__(self) -> None:
        super().__init__("Too many parts arrive at once. Send this one again in a moment.")


class RangeUnsatisfiable(ApiError):
    """The range asked for lies past the end of the file."""

    code = "range_unsatisfiable"

    def __init__(self, *, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"The file has {size_bytes} bytes; ask for a range within it.")


class NotReady(ApiError):
    """Parts that the service needs are down; `down` names them."""

    code = "not_ready"

    def __init__(self, down: Sequence[str]) -> None:
        self.down = tuple(down)
        super().__init__(f"Not ready: {', '.join(down)} cannot be used.")


# The nearest class in an error's ancestry decides.
STATUS_OF: Final[Mapping[type[Exception], int]] = {
    BodyTooDeep: 400,
    NulCharacter: 400,
    KeyMissing: 401,
    store.KeyInvalid: 401,
    RoleTooLow: 403,
    store.NotFound: 404,
    store.PartNumberInvalid: 404,
    BodyTooSlow: 408,
    store.InvalidTransition: 409,
    store.IdempotencyConflict: 409,
    store.UploadClosed: 409,
    store.UploadIncomplete: 409,
    BodyTooLarge: 413,
    store.UploadTooLarge: 413,
    BodyNotJson: 415,
    RangeUnsatisfiable: 416,
    SpecInvalid: 422,
    IncompatibleInputs: 422,
    InputsUnusable: 422,
    store.CursorInvalid: 422,
    store.UploadNotStored: 422,
    store.PartSizeMismatch: 422,
    store.DigestMismatch: 422,
    NotReady: 503,
    UploadsBusy: 503,
    store.StorageUnavailable: 503,
    database.OperationalError: 503,
    database.InterfaceError: 503,
    database.TimeoutError: 503,
}


def status_of(error: type[Exception]) -> int:
    """Look an error class up in the table; 500 for one that is not meant to reach a client."""
    for ancestor in error.__mro__:
        if ancestor in STATUS_OF:
            return STATUS_OF[ancestor]
    return 500
