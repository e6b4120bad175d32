"""Routes of models."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import ReaderDependency, WriterDependency
from api.errors import InputsUnusable
from api.idempotency import Created, CreatingRequestDependency
from api.models import service
from api.models.schemas import ModelCreate, ModelRead
from api.openapi import errors_of
from api.replies import reply
from api.schemas import Cursor, Limit, ListOf, ModelId
from kdstore.errors import CursorInvalid, ModelNotFound
from kdstore.queue import VALIDATE_MODEL
from kdstore.tables import ValidationStatus

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.post(
    "",
    status_code=202,
    response_model=ModelRead,
    summary="Make a model",
    responses=errors_of(InputsUnusable, writes=True, creates=True, body=True),
)
def create_model(
    wanted: ModelCreate, writer: WriterDependency, creating: CreatingRequestDependency
) -> Response:
    """Make a model of an uploaded checkpoint, or of what a job trained.

    A worker looks at it: it is `validating` first, then `ready`, or `rejected` with a `problem`.
    """

    def create() -> Created:
        model = service.create(writer.session, workspace_id=writer.workspace_id, wanted=wanted)
        writer.publish(VALIDATE_MODEL, model.id)
        return Created(202, model, location=f"/v1/models/{model.id}")

    return creating.answer(writer, create)


@router.get(
    "",
    response_model=ListOf[ModelRead],
    summary="List models",
    responses=errors_of(CursorInvalid),
)
def list_models(
    reader: ReaderDependency,
    request: Request,
    *,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[ValidationStatus | None, Query(description="Only these.")] = None,
) -> Response:
    """List the workspace's models, newest first."""
    page = service.read_page(
        reader.session,
        workspace_id=reader.workspace_id,
        limit=limit,
        cursor=cursor,
        status=status,
    )
    return reply(request, page)


@router.get(
    "/{model_id}",
    response_model=ModelRead,
    summary="Read a model",
    responses=errors_of(ModelNotFound),
)
def get_model(model_id: ModelId, reader: ReaderDependency, request: Request) -> Response:
    """Tell what was found: format, parameters, FLOPs, layers that can be tapped, sha256."""
    model = service.read(reader.session, workspace_id=reader.workspace_id, model_id=model_id)
    return reply(request, model)
