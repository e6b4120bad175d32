"""Models: networks with weights, from an upload or from a job."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from kdcore.spec import NetworkDescription
from kdstore.pages import Page
from kdstore.tables import JsonObject, Model, ValidationStatus
from kdstore.validation import ValidationFence


@dataclass(frozen=True)
class TappableLayer:
    """A layer whose output can be tapped, and the shape of that output for one image."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ReadyModel:
    """What validation found out; the object holds our own safetensors."""

    description: NetworkDescription
    format: str
    parameters: int
    flops: int
    layers: Sequence[TappableLayer]
    object_key: str
    sha256: str
    size_bytes: int


def weights_key(sha256: str) -> str:
    """Name the object of canonical weights by its content."""
    return f"models/{sha256}.safetensors"


def create_from_upload(
    session: Session, *, workspace_id: str, name: str, upload_id: str, requested: JsonObject
) -> Model:
    """Insert a model as `validating`. Publish its id after the commit, not before.

    `requested` holds what the person said: architecture, input, class_names.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadNotStored: it is not complete, or not a checkpoint.
    """
    raise NotImplementedError


def create_from_job(session: Session, *, workspace_id: str, name: str, job_id: str) -> Model:
    """Insert a model as `validating` whose weights are those a succeeded job made.

    Publish its id after the commit, not before. The worker reads them from the job's artifacts
    `student.*` or `network.*`.

    Raises:
        JobNotFound: no such job in this workspace.
        ArtifactNotFound: it made no weights (yet).
    """
    raise NotImplementedError


def mark_ready(session: Session, fence: ValidationFence, ready: ReadyModel) -> None:
    """Decide that the model can teach.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def get(session: Session, *, workspace_id: str, model_id: str) -> Model:
    """Read one model.

    Raises:
        ModelNotFound: no such model in this workspace.
    """
    raise NotImplementedError


def read_validating(session: Session, fence: ValidationFence) -> Model:
    """Read the model that a validation holds, whatever its workspace.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def page(
    session: Session,
    *,
    workspace_id: str,
    limit: int = 50,
    cursor: str | None = None,
    status: ValidationStatus | None = None,
) -> Page[Model]:
    """Read one page of models, newest first.

    Raises:
        CursorInvalid: `cursor` did not come from a page.
    """
    raise NotImplementedError
