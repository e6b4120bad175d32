"""Datasets: canonical arrays, from an upload or built in."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from kdstore.pages import Page
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
    raise NotImplementedError


def ensure_builtin(session: Session, name: str) -> Dataset:
    """Insert the built-in dataset as `validating` if it is not there, and read it.

    Its id is its name. Publish it after the commit while it is `validating`.
    """
    raise NotImplementedError


def mark_ready(session: Session, fence: ValidationFence, ready: ReadyDataset) -> None:
    """Decide that the dataset can be trained on.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def get(session: Session, *, workspace_id: str, dataset_id: str) -> Dataset:
    """Read one dataset of the workspace, or a built-in one by its name.

    Raises:
        DatasetNotFound: no such dataset in this workspace.
    """
    raise NotImplementedError


def read_validating(session: Session, fence: ValidationFence) -> Dataset:
    """Read the dataset that a validation holds, whatever its workspace.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def files_of(dataset: Dataset) -> tuple[DatasetFile, ...]:
    """Give the files of a dataset that is ready."""
    raise NotImplementedError


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
    raise NotImplementedError
