"""Whether the process lives, and whether what it needs can be used."""

from typing import Literal

from fastapi import APIRouter
from pydantic import ConfigDict
from starlette.requests import Request

from api.errors import NotReady
from api.openapi import public_errors_of
from api.schemas import Answer
from api.state import state_of

router = APIRouter(tags=["health"])


class Live(Answer):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "live"}]})

    status: Literal["live"]


class Ready(Answer):
    """Everything the service needs can be used."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: Literal["ready"]


@router.get("/healthz", summary="Tell whether the process lives", responses=public_errors_of())
async def check_life() -> Live:
    """Answer as long as the process can; for a supervisor that restarts it."""
    return Live(status="live")


@router.get(
    "/readyz",
    summary="Tell whether the service can work",
    responses=public_errors_of(NotReady),
)
def check_readiness(request: Request) -> Ready:
    """Try database, object storage and broker; what is down is named in `errors`."""
    down = state_of(request).parts.down()
    if down:
        raise NotReady(down)
    return Ready(status="ready")
