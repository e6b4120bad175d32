"""Whether the process lives, and whether what it needs can be used."""

from typing import Literal

from fastapi import APIRouter
from pydantic import ConfigDict
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from api.errors import NotReady
from api.openapi import public_errors_of
from api.schemas import Answer
from api.state import AppState, state_of
from kdstore.errors import StorageUnavailable

router = APIRouter(tags=["health"])

_BROKER_SECONDS = 2.0


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
    state = state_of(request)
    checks = {
        "database": _database_is_up,
        "objects": _objects_are_up,
        "broker": _broker_is_up,
    }
    down = [name for name, is_up in checks.items() if not is_up(state)]
    if down:
        raise NotReady(down)
    return Ready(status="ready")


def _database_is_up(state: AppState) -> bool:
    try:
        with state.engine.connect() as connection:
            # Fails as well where the tables have not been made.
            connection.execute(text("SELECT count(*) FROM workspaces"))
    except SQLAlchemyError:
        return False
    return True


def _objects_are_up(state: AppState) -> bool:
    try:
        state.objects.exists("readiness")
    except StorageUnavailable:
        return False
    return True


def _broker_is_up(state: AppState) -> bool:
    from kombu.exceptions import OperationalError  # noqa: PLC0415  # loaded with Celery, not before

    try:
        with state.queue.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_SECONDS)
    except (OperationalError, OSError):
        return False
    return True
