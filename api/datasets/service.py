"""What datasets do: rows in, answers out."""

from sqlalchemy.orm import Session

from api.addresses import url_of
from api.datasets.facts import description_of
from api.datasets.schemas import (
    DatasetCreate,
    DatasetRead,
    ImageShapeRead,
    SplitRead,
    ThumbnailRead,
)
from api.references import referenced_at
from api.schemas import ListOf, RejectionRead
from kdstore import datasets
from kdstore.errors import DatasetNotFound
from kdstore.settings import Settings
from kdstore.tables import Dataset, ValidationStatus


def create(
    session: Session, *, workspace_id: str, settings: Settings, wanted: DatasetCreate
) -> DatasetRead:
    """Insert a dataset that a worker is to read. Raises InputsUnusable."""
    with referenced_at("/upload_id"):
        dataset = datasets.create_from_upload(
            session,
            workspace_id=workspace_id,
            name=wanted.name,
            upload_id=wanted.upload_id,
            source_format=wanted.format,
            class_names=wanted.class_names,
        )
    return describe(dataset, settings)


def read(
    session: Session, *, workspace_id: str, settings: Settings, dataset_id: str
) -> DatasetRead:
    """Read one dataset, the workspace's or built in. Raises DatasetNotFound."""
    dataset = datasets.get(session, workspace_id=workspace_id, dataset_id=dataset_id)
    return describe(dataset, settings)


def read_page(
    session: Session,
    *,
    workspace_id: str,
    settings: Settings,
    limit: int,
    cursor: str | None,
    status: ValidationStatus | None,
) -> ListOf[DatasetRead]:
    """Read one page of datasets. Raises CursorInvalid."""
    page = datasets.page(
        session, workspace_id=workspace_id, limit=limit, cursor=cursor, status=status
    )
    return ListOf[DatasetRead](
        items=[describe(dataset, settings) for dataset in page.items],
        next_cursor=page.next_cursor,
    )


def thumbnail_key(session: Session, *, workspace_id: str, dataset_id: str, number: int) -> str:
    """Find the object of a thumbnail, counted from 0. Raises DatasetNotFound."""
    dataset = datasets.get(session, workspace_id=workspace_id, dataset_id=dataset_id)
    pictures = dataset.thumbnails or []
    if number >= len(pictures):
        raise DatasetNotFound(f"{dataset_id}/thumbnails/{number}")
    return str(pictures[number]["object_key"])


def describe(dataset: Dataset, settings: Settings) -> DatasetRead:
    """Make the answer of a row."""
    known = description_of(dataset)
    return DatasetRead(
        id=dataset.id,
        name=dataset.name,
        status=dataset.status,
        problem=RejectionRead.model_validate(dataset.problem) if dataset.problem else None,
        builtin=dataset.builtin,
        upload_id=dataset.source_upload_id,
        format=dataset.format,
        class_names=list(known.class_names) if known else dataset.requested_class_names or None,
        image=ImageShapeRead.model_validate(known.image, from_attributes=True) if known else None,
        splits={
            name: SplitRead(num_examples=split.num_examples, class_counts=list(split.class_counts))
            for name, split in known.splits.items()
        }
        if known
        else None,
        mean=list(known.mean) if known else None,
        std=list(known.std) if known else None,
        thumbnails=_thumbnails(dataset, settings),
        sha256=dataset.sha256,
        created_at=dataset.created_at,
        decided_at=dataset.decided_at,
    )


def _thumbnails(dataset: Dataset, settings: Settings) -> list[ThumbnailRead]:
    return [
        ThumbnailRead(
            class_name=picture["class_name"],
            url=url_of(settings, f"/v1/datasets/{dataset.id}/thumbnails/{number}"),
        )
        for number, picture in enumerate(dataset.thumbnails or [])
    ]
