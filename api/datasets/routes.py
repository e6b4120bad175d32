"""Routes of datasets."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.datasets import service
from api.datasets.schemas import DatasetCreate, DatasetRead
from api.dependencies import (
    STORAGE_TURN,
    Credentials,
    ReaderDependency,
    WriterDependency,
    opened_reader,
)
from api.errors import InputsUnusable
from api.idempotency import Created, CreatingRequestDependency
from api.openapi import errors_of
from api.replies import reply, reply_bytes
from api.schemas import Cursor, DatasetId, Limit, ListOf
from api.state import state_of
from kdstore.errors import CursorInvalid, DatasetNotFound, StorageUnavailable
from kdstore.queue import VALIDATE_DATASET
from kdstore.tables import ValidationStatus

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_PNG: dict[int | str, dict[str, object]] = {
    200: {
        "description": "A PNG.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "",
    status_code=202,
    response_model=DatasetRead,
    summary="Make a dataset",
    responses=errors_of(InputsUnusable, writes=True, creates=True, body=True),
)
def create_dataset(
    wanted: DatasetCreate,
    writer: WriterDependency,
    creating: CreatingRequestDependency,
    request: Request,
) -> Response:
    """Make a dataset of an uploaded file of labelled images.

    A worker reads it: it is `validating` first, then `ready`, or `rejected` with a `problem` that
    names the first offending entries.
    """

    def create() -> Created:
        dataset = service.create(
            writer.session,
            workspace_id=writer.workspace_id,
            settings=state_of(request).settings,
            wanted=wanted,
        )
        writer.publish(VALIDATE_DATASET, dataset.id)
        return Created(202, dataset, location=f"/v1/datasets/{dataset.id}")

    return creating.answer(writer, create)


@router.get(
    "",
    response_model=ListOf[DatasetRead],
    summary="List datasets",
    responses=errors_of(CursorInvalid),
)
def list_datasets(
    reader: ReaderDependency,
    request: Request,
    *,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[ValidationStatus | None, Query(description="Only these.")] = None,
) -> Response:
    """List the workspace's datasets and the built-in ones, newest first."""
    page = service.read_page(
        reader.session,
        workspace_id=reader.workspace_id,
        settings=state_of(request).settings,
        limit=limit,
        cursor=cursor,
        status=status,
    )
    return reply(request, page)


@router.get(
    "/{dataset_id}",
    response_model=DatasetRead,
    summary="Read a dataset",
    responses=errors_of(DatasetNotFound),
)
def get_dataset(dataset_id: DatasetId, reader: ReaderDependency, request: Request) -> Response:
    """Tell what was found: image shape, class names, counts per class and split."""
    dataset = service.read(
        reader.session,
        workspace_id=reader.workspace_id,
        settings=state_of(request).settings,
        dataset_id=dataset_id,
    )
    return reply(request, dataset)


@router.get(
    "/{dataset_id}/thumbnails/{number}",
    response_class=Response,
    summary="Look at one class",
    responses=errors_of(DatasetNotFound, StorageUnavailable) | _PNG,
    dependencies=[STORAGE_TURN],
)
def get_dataset_thumbnail(
    dataset_id: DatasetId,
    number: Annotated[int, Path(ge=0, le=100_000, description="From 0.")],
    credentials: Credentials,
    request: Request,
) -> Response:
    """Give a small picture of one class, as a PNG."""
    with opened_reader(request, credentials) as reader:
        object_key = service.thumbnail_key(
            reader.session, workspace_id=reader.workspace_id, dataset_id=dataset_id, number=number
        )
    picture = state_of(request).objects.get_bytes(object_key)
    return reply_bytes(request, picture, media_type="image/png")
