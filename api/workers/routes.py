"""Routes of workers."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import ReaderDependency
from api.openapi import errors_of
from api.replies import reply
from api.workers import service
from api.workers.schemas import WorkersRead

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get(
    "", response_model=WorkersRead, summary="List workers and the queue", responses=errors_of()
)
def list_workers(reader: ReaderDependency, request: Request) -> Response:
    """Tell who works on what device, and how long the queue is."""
    return reply(request, service.read(reader.session, workspace_id=reader.workspace_id))
