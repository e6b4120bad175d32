"""Models: networks with weights, from an upload or from a job."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from kdcore.spec import NetworkDescription
from kdstore import artifacts, condemned, jobs, uploads, validation
from kdstore.db import now
from kdstore.errors import ModelNotFound, ValidationLost
from kdstore.ids import new_id
from kdstore.pages import Page, read_page
from kdstore.tables import Artifact, JsonObject, Model, ValidationStatus
from kdstore.validation import ValidationFence

# The network that a job made, by the job's kind; an evaluation makes none.
_WEIGHTS_OF_KIND = {"distill": "student", "train": "network", "evaluate": "network"}


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


@dataclass(frozen=True)
class JobWeights:
    """The two artifacts of a job that make a model: its weights and its description."""

    weights: Artifact
    description: Artifact


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
    uploads.require_stored(
        session, workspace_id=workspace_id, upload_id=upload_id, purpose="checkpoint"
    )
    return _create(
        session,
        Model(
            workspace_id=workspace_id,
            name=name,
            source_upload_id=upload_id,
            requested=requested,
        ),
    )


def create_from_job(session: Session, *, workspace_id: str, name: str, job_id: str) -> Model:
    """Insert a model as `validating` whose weights are those a succeeded job made.

    Publish its id after the commit, not before. The worker finds them with `weights_of_job`.

    Raises:
        JobNotFound: no such job in this workspace.
        ArtifactNotFound: it made no weights (yet).
    """
    # Retention forgets the files of jobs that no model is made of: it waits for this lock.
    jobs.lock(session, workspace_id=workspace_id, job_id=job_id)
    weights_of_job(session, workspace_id=workspace_id, job_id=job_id)
    return _create(
        session,
        Model(workspace_id=workspace_id, name=name, source_job_id=job_id, requested={}),
    )


def weights_of_job(session: Session, *, workspace_id: str, job_id: str) -> JobWeights:
    """Find the artifacts that describe the network a job made.

    Raises:
        JobNotFound: no such job in this workspace.
        ArtifactNotFound: it made no weights (yet).
    """
    job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    stem = _WEIGHTS_OF_KIND[job.kind]
    weights, description = (
        artifacts.get(session, workspace_id=workspace_id, job_id=job_id, name=f"{stem}.{suffix}")
        for suffix in ("safetensors", "json")
    )
    return JobWeights(weights=weights, description=description)


def mark_ready(session: Session, fence: ValidationFence, ready: ReadyModel) -> None:
    """Decide that the model can teach.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
        ObjectCondemned: the weights are being swept: store them again, under their next key.
    """
    condemned.require_live(session, [ready.object_key])
    validation.decide(
        session,
        fence,
        status="ready",
        description=ready.description.model_dump(mode="json"),
        format=ready.format,
        parameters=ready.parameters,
        flops=ready.flops,
        layers=[asdict(layer) for layer in ready.layers],
        object_key=ready.object_key,
        sha256=ready.sha256,
        size_bytes=ready.size_bytes,
    )


def get(session: Session, *, workspace_id: str, model_id: str) -> Model:
    """Read one model.

    Raises:
        ModelNotFound: no such model in this workspace.
    """
    statement = select(Model).where(Model.id == model_id, Model.workspace_id == workspace_id)
    model = session.scalar(statement)
    if model is None:
        raise ModelNotFound(model_id)
    return model


def read_validating(session: Session, fence: ValidationFence) -> Model:
    """Read the model that a validation holds, whatever its workspace.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    model = session.get(Model, fence.id, populate_existing=True)
    if model is None or model.status != "validating" or model.validation_number != fence.number:
        raise ValidationLost(fence.id, fence.number)
    return model


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
    statement = select(Model).where(Model.workspace_id == workspace_id)
    if status is not None:
        statement = statement.where(Model.status == status)
    return read_page(session, statement, Model, limit=limit, cursor=cursor)


def _create(session: Session, model: Model) -> Model:
    model.id = new_id("mdl")
    model.status = "validating"
    model.created_at = model.published_at = now(session)
    session.add(model)
    session.flush()
    return model
