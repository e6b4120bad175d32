"""Errors as `application/problem+json` (RFC 9457), each with a code that a client can act on."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.errors import (
    RETRY_AFTER_SECONDS,
    STATUS_OF,
    ApiError,
    InputsUnusable,
    NotReady,
    RangeUnsatisfiable,
    status_of,
)
from api.schemas import Answer, JsonObject
from kdcore.errors import IncompatibleInputs, KdcoreError, Problem, SpecInvalid
from kdcore.spec.parse import problems_of
from kdstore.errors import KdstoreError, UploadIncomplete

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger("potstill.api")
_MAX_ITEMS = 50
CLIENT_GONE = 499  # what nginx logs for a client that hung up before the answer

_PROBLEM_EXAMPLE: JsonObject = {
    "type": "urn:potstill:problem:validation_failed",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "1 field is wrong; errors[] names it.",
    "code": "validation_failed",
    "errors": [
        {
            "pointer": "/method/temperature",
            "parameter": None,
            "code": "out_of_range",
            "detail": "This must be greater than 0, not -1.",
        }
    ],
    "request_id": "req_4kq2m8x0c7",
}


class ProblemItem(Answer):
    """One thing wrong with one place of a request."""

    pointer: str = Field(description='JSON pointer into the body; "" for the whole.')
    parameter: str | None = Field(
        description="Name of the query parameter or header, if it is one."
    )
    code: str
    detail: str


class ProblemDocument(Answer):
    """Why a request was refused. `code` is stable; `detail` is for people."""

    model_config = ConfigDict(title="Problem", json_schema_extra={"examples": [_PROBLEM_EXAMPLE]})

    type: str = Field(description="`urn:potstill:problem:` and the code.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str
    code: str
    errors: list[ProblemItem] = Field(description="Each wrong field; empty if it is none.")
    request_id: str = Field(description="Also in X-Request-Id; quote it when you ask for help.")


def problem_response(
    request_id: str,
    *,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[ProblemItem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make the answer to a request that is refused."""
    document = ProblemDocument(
        type=f"urn:potstill:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=list(errors[:_MAX_ITEMS]),
        request_id=request_id,
    )
    return Response(
        document.model_dump_json(),
        status_code=status,
        headers=dict(headers or {}) | {"Cache-Control": "no-store"},
        media_type=MEDIA_TYPE,
    )


def unexpected_response(request_id: str) -> Response:
    """Make the answer to an error that nobody foresaw: it tells nothing of it."""
    return problem_response(
        request_id,
        status=500,
        code="internal_error",
        detail="Something went wrong on our side. Try again; if it stays, quote the request_id.",
    )


def install(app: FastAPI) -> None:
    """Make every error of the table, and those of routing and validation, a problem document."""
    for error in (*STATUS_OF, KdcoreError, KdstoreError, ApiError):
        app.add_exception_handler(error, _answer_known)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_routing)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)


async def _answer_known(request: Request, error: Exception) -> Response:
    return response_to(error, request_id=request.state.request_id)


def response_to(error: Exception, *, request_id: str) -> Response:
    """Make the answer to an error of the table."""
    status = status_of(type(error))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("unexpected error", exc_info=error, extra={"request_id": request_id})
        return unexpected_response(request_id)
    code, detail = "database_unavailable", "The database cannot be reached. Try again shortly."
    if isinstance(error, ApiError | KdcoreError | KdstoreError):
        code, detail = error.code, error.message
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        _LOG.warning("unavailable", exc_info=error, extra={"request_id": request_id, "code": code})
        if not isinstance(error, ApiError):
            detail = f"{code.partition('_')[0].capitalize()} cannot be reached. Try again shortly."
    if isinstance(error, SpecInvalid):
        detail = _count(error.problems)
    return problem_response(
        request_id,
        status=status,
        code=code,
        detail=detail,
        errors=_items(error),
        headers=_headers(error, status),
    )


def _items(error: Exception) -> list[ProblemItem]:
    match error:
        case SpecInvalid() | InputsUnusable():
            return [_item(problem) for problem in error.problems]
        case IncompatibleInputs():
            return [_item(Problem(error.pointer, error.code, error.message))]
        case UploadIncomplete():
            return [
                _item(Problem("", "part_missing", f"Part {number} has not arrived."))
                for number in error.missing
            ]
        case NotReady():
            return [
                _item(Problem("", f"{name}_down", f"The {name} cannot be used."))
                for name in error.down
            ]
        case _:
            return []


def _item(problem: Problem, *, parameter: str | None = None) -> ProblemItem:
    return ProblemItem(
        pointer=problem.pointer, parameter=parameter, code=problem.code, detail=problem.message
    )


def _headers(error: Exception, status: int) -> dict[str, str]:
    headers = dict(error.headers) if isinstance(error, ApiError) else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="potstill"'
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    return headers


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Answer what FastAPI's validation found in path, query, headers and body."""
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"{type(error).__name__} is no validation error.")
    request_id = request.state.request_id
    found: Sequence[Mapping[str, Any]] = error.errors()
    if any(item["loc"][0] == "path" for item in found):
        # An id that cannot be one of ours names nothing.
        return problem_response(
            request_id, status=404, code="not_found", detail="There is nothing with this id."
        )
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(
            request_id, status=400, code="json_invalid", detail="The body is not valid JSON."
        )
    errors = _places(found, error.body)
    return problem_response(
        request_id,
        status=422,
        code="validation_failed",
        detail=_count(errors),
        errors=errors,
    )


def _places(found: Sequence[Mapping[str, Any]], body: Any) -> list[ProblemItem]:
    """Say of each error where it is: in a parameter, or by a pointer in the body."""
    in_body = [{**item, "loc": item["loc"][1:]} for item in found if item["loc"][0] == "body"]
    if any(item["type"] == "missing" and not item["loc"] for item in in_body):
        return [_item(Problem("", "body_missing", "Send a JSON body."))]
    places = [_item(problem) for problem in problems_of(in_body, body)]
    for item in found:
        location: tuple[str | int, ...] = item["loc"]
        if location[0] != "body":
            problem = problems_of([{**item, "loc": ()}], None)[0]
            places.append(_item(problem, parameter=str(location[1])))
    return places


def _count(wrong: Sequence[object]) -> str:
    if len(wrong) == 1:
        return "One field is wrong; errors[] names it and says what to do."
    return f"{len(wrong)} fields are wrong; errors[] names each and says what to do."


async def _answer_routing(request: Request, error: Exception) -> Response:
    """Answer what Starlette's routing refuses: no such route, no such method."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"{type(error).__name__} is no HTTP error.")
    code, detail = {
        404: ("route_not_found", "There is nothing at this address; see /openapi.json."),
        405: ("method_not_allowed", "This address takes other methods; see the Allow header."),
    }.get(error.status_code, ("bad_request", "The request cannot be understood."))
    return problem_response(
        request.state.request_id,
        status=error.status_code,
        code=code,
        detail=detail,
        headers=error.headers,
    )


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    """Answer for the record only: the client hung up while it was sending."""
    return Response(status_code=CLIENT_GONE)
