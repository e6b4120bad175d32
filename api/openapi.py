"""The OpenAPI document: operation ids, and which errors each operation answers with."""

from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.errors import (
    BodyNotJson,
    BodyTooDeep,
    BodyTooLarge,
    BodyTooSlow,
    KeyMissing,
    NulCharacter,
    RoleTooLow,
    status_of,
)
from api.problems import MEDIA_TYPE, ProblemDocument
from kdstore.errors import IdempotencyConflict, KeyInvalid

Responses = dict[int | str, dict[str, Any]]  # as FastAPI takes them

_BODIES: Sequence[type[Exception]] = (
    BodyTooDeep,
    NulCharacter,
    BodyTooSlow,
    BodyTooLarge,
    BodyNotJson,
)
_SCHEMAS = "#/components/schemas/"
_CODES_OF_OTHERS = {
    422: ("validation_failed",),
    500: ("internal_error",),
    503: ("database_unavailable",),
}

DESCRIPTION = """\
Upload a teacher and a dataset, post a job, watch it, and download a small student together with
a report of what the teacher was worth.

Errors are `application/problem+json` with a stable `code`. Times are UTC, RFC 3339. Lists are
newest first. Every answer has `X-Request-Id`.
"""


def errors_of(
    *errors: type[Exception], writes: bool = False, creates: bool = False, body: bool = False
) -> Responses:
    """Describe the errors of one operation under `/v1`, from the table in `api.errors`.

    `writes`: viewers may not; `creates`: takes an Idempotency-Key; `body`: takes JSON.
    """
    known: list[type[Exception]] = [KeyMissing, KeyInvalid, *errors]
    known += [RoleTooLow] if writes else []
    known += [IdempotencyConflict] if creates else []
    known += _BODIES if body else [NulCharacter]
    codes: dict[int, list[str]] = defaultdict(list)
    for error in known:
        codes[status_of(error)].append(_code_of(error))
    for status, more in _CODES_OF_OTHERS.items():
        codes[status] += more
    return {status: _response(status, names) for status, names in sorted(codes.items())}


def public_errors_of(*errors: type[Exception]) -> Responses:
    """Describe the errors of an operation that needs no key."""
    codes: dict[int, list[str]] = defaultdict(list)
    for error in errors:
        codes[status_of(error)].append(_code_of(error))
    codes[500] += _CODES_OF_OTHERS[500]
    return {status: _response(status, names) for status, names in sorted(codes.items())}


def _code_of(error: type[Exception]) -> str:
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        raise TypeError(f"{error.__name__} has no code to document.")
    return code


def _response(status: int, codes: Sequence[str]) -> dict[str, Any]:
    example = {
        "type": f"urn:potstill:problem:{codes[0]}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": "What is wrong, and what to do.",
        "code": codes[0],
        "errors": [],
        "request_id": "req_3f0c9a5be1d24c7f8a6b",
    }
    return {
        "description": "Code " + " or ".join(f"`{code}`" for code in dict.fromkeys(codes)) + ".",
        # No `model` here: FastAPI would build a validator for each of some 300 answers.
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}, "example": example}},
    }


def operation_id(route: APIRoute) -> str:
    """Name an operation by its function, which is unique."""
    return route.name


def install(app: FastAPI) -> None:
    """Make `app.openapi` give our document, made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=DESCRIPTION,
                routes=app.routes,
            )
            _add_problem(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _add_problem(document: dict[str, Any]) -> None:
    """Add the schema that every error answer refers to."""
    problem = ProblemDocument.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    schemas: dict[str, Any] = document["components"]["schemas"]
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
