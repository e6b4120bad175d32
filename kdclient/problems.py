"""From `application/problem+json` to an error."""

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from kdclient.errors import ApiProblem, FieldProblem, PotstillError, UnexpectedAnswer


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    pointer: str = ""
    parameter: str | None = None
    code: str = ""
    detail: str = ""


class _Problem(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    title: str = ""
    detail: str = ""
    errors: tuple[_Item, ...] = ()
    request_id: str | None = None


def problem_from(response: httpx.Response) -> PotstillError:
    """Make the error of a refusing answer that has been read."""
    try:
        problem = _Problem.model_validate_json(response.content)
    except ValidationError:
        return UnexpectedAnswer(
            str(response.url), response.status_code, "its body is no problem document"
        )
    return ApiProblem(
        status=response.status_code,
        code=problem.code,
        detail=problem.detail or problem.title,
        errors=[
            FieldProblem(item.pointer, item.code, item.detail, item.parameter)
            for item in problem.errors
        ],
        request_id=problem.request_id or response.headers.get("X-Request-Id"),
        retry_after_seconds=retry_after_seconds(response),
    )


def retry_after_seconds(response: httpx.Response) -> float | None:
    """The wait that an answer asks for, in seconds; None if it names none."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None  # absent, or a date, which nothing of ours sends
    return seconds if 0 <= seconds < float("inf") else None
