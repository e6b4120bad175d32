"""Datasets: canonical arrays, from an upload or built in."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from kdstore import condemned, uploads, validation
from kdstore.db import insert_for, now
from kdstore.errors import DatasetNotFound, ValidationLost
from kdstore.ids import new_id
from kdstore.pages import Page, read_page
from kdstore.tables import Dataset, JsonObject, ValidationStatus
from kdstore.validation import ValidationFence

BUILTIN_DATASETS: tuple[str, ...] = ("digits",)


@dataclass(frozen=True)
class DatasetFile:
    """One file of the canonical folder; its object is named by its content."""

    name: str
    object_key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of one class, as a PNG object."""

    class_name: str
    object_key: str


@dataclass(frozen=True)
class ReadyDataset:
    """What ingest made; `description` is kdcore's DatasetDescription, `sha256` that of its file."""

    description: JsonObject
    files: Sequence[DatasetFile]
    sha256: str
    thumbnails: Sequence[Thumbnail] = ()


def file_key(sha256: str) -> str:
    """Name the object of a canonical file by its content."""
    return f"datasets/{sha256}"


def create_from_upload(
    session: Session,
    *,
    workspace_id: str,
    name: str,
    upload_id: str,
    source_format: str,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Insert a dataset as `validating`. Publish its id after the commit, not before.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadNotStored: it is not complete, or not a dataset.
    """
    uploads.require_stored(
        session, workspace_id=workspace_id, upload_id=upload_id, purpose="dataset"
    )
    at = now(session)
    dataset = Dataset(
        id=new_id("dts"),
        workspace_id=workspace_id,
        builtin=False,
        name=name,
        status="validating",
        source_upload_id=upload_id,
        format=source_format,
        requested_class_names=list(class_names),
        created_at=at,
        published_at=at,
    )
    session.add(dataset)
    session.flush()
    return dataset


def ensure_builtin(session: Session, name: str) -> Dataset:
    """Insert the built-in dataset as `validating` if it is not there, and read it.

    Its id is its name. Publish it after the commit while it is `validating`. A rejected one is
    offered again: nothing is wrong with its content, so its reader must have died of something
    else.
    """
    at = now(session)
    session.execute(
        insert_for(session, Dataset)
        .values(
            id=name,
            workspace_id=None,
            builtin=True,
            name=name,
            status="validating",
            format="builtin",
            requested_class_names=[],
            validation_number=0,
            validations_lost=0,
            created_at=at,
            published_at=at,
        )
        .on_conflict_do_nothing(index_elements=["id"])
    )
    session.execute(
        update(Dataset)
        .where(Dataset.id == name, Dataset.status == "rejected")
        .values(
            status="validating",
            problem=None,
            validations_lost=0,
            claimable_at=None,
            published_at=at,
        )
        .execution_options(synchronize_session=False)
    )
    return session.get_one(Dataset, name, populate_existing=True)


def mark_ready(session: Session, fence: ValidationFence, ready: ReadyDataset) -> None:
    """Decide that the dataset can be trained on.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
        ObjectCondemned: a file is being swept: store it again, under its next key.
    """
    keys = [file.object_key for file in ready.files]
    keys += [thumbnail.object_key for thumbnail in ready.thumbnails]
    condemned.require_live(session, keys)
    validation.decide(
        session,
        fence,
        status="ready",
        description=ready.description,
        files=[asdict(file) for file in ready.files],
        sha256=ready.sha256,
        thumbnails=[asdict(thumbnail) for thumbnail in ready.thumbnails],
    )


def get(session: Session, *, workspace_id: str, dataset_id: str) -> Dataset:
    """Read one dataset of the workspace, or a built-in one by its name.

    Raises:
        DatasetNotFound: no such dataset in this workspace.
    """
    statement = select(Dataset).where(
        Dataset.id == dataset_id, or_(Dataset.workspace_id == workspace_id, Dataset.builtin)
    )
    dataset = session.scalar(statement)
    if dataset is None:
        raise DatasetNotFound(dataset_id)
    return dataset


def read_validating(session: Session, fence: ValidationFence) -> Dataset:
    """Read the dataset that a validation holds, whatever its workspace.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    dataset = session.get(Dataset, fence.id, populate_existing=True)
    if (
        dataset is None
        or dataset.status != "validating"
        or dataset.validation_number != fence.number
    ):
        raise ValidationLost(fence.id, fence.number)
    return dataset


def files_of(dataset: Dataset) -> tuple[DatasetFile, ...]:
    """Give the files of a dataset that is ready; none before."""
    return tuple(DatasetFile(**file) for file in dataset.files or ())


def page(
    session: Session,
    *,
    workspace_id: str,
    limit: int = 50,
    cursor: str | None = None,
    status: ValidationStatus | None = None,
) -> Page[Dataset]:
    """Read one page of datasets, the workspace's and the built-in ones, newest first.

    Raises:
        CursorInvalid: `cursor` did not come from a page.
    """
    statement = select(Dataset).where(or_(Dataset.workspace_id == workspace_id, Dataset.builtin))
    if status is not None:
        statement = statement.where(Dataset.status == status)
    return read_page(session, statement, Dataset, limit=limit, cursor=cursor)
