"""What models do: rows in, answers out."""

from sqlalchemy.orm import Session

from api.models.schemas import LayerRead, ModelFromJob, ModelFromUpload, ModelRead
from api.references import referenced_at
from api.schemas import ListOf, RejectionRead
from kdstore import models
from kdstore.tables import Model, ValidationStatus


def create(
    session: Session, *, workspace_id: str, wanted: ModelFromUpload | ModelFromJob
) -> ModelRead:
    """Insert a model that a worker is to validate. Raises InputsUnusable."""
    if isinstance(wanted, ModelFromJob):
        with referenced_at("/job_id"):
            model = models.create_from_job(
                session, workspace_id=workspace_id, name=wanted.name, job_id=wanted.job_id
            )
        return describe(model)
    requested = {
        "architecture": wanted.architecture.model_dump(mode="json"),
        "input": wanted.known_input.model_dump(mode="json"),
        "class_names": list(wanted.class_names),
    }
    with referenced_at("/upload_id"):
        model = models.create_from_upload(
            session,
            workspace_id=workspace_id,
            name=wanted.name,
            upload_id=wanted.upload_id,
            requested=requested,
        )
    return describe(model)


def read(session: Session, *, workspace_id: str, model_id: str) -> ModelRead:
    """Read one model. Raises ModelNotFound."""
    return describe(models.get(session, workspace_id=workspace_id, model_id=model_id))


def read_page(
    session: Session,
    *,
    workspace_id: str,
    limit: int,
    cursor: str | None,
    status: ValidationStatus | None,
) -> ListOf[ModelRead]:
    """Read one page of models. Raises CursorInvalid."""
    page = models.page(
        session, workspace_id=workspace_id, limit=limit, cursor=cursor, status=status
    )
    return ListOf[ModelRead](
        items=[describe(model) for model in page.items], next_cursor=page.next_cursor
    )


def describe(model: Model) -> ModelRead:
    """Make the answer of a row: what validation found, or before that what the person said."""
    known = model.description or model.requested
    return ModelRead(
        id=model.id,
        name=model.name,
        status=model.status,
        problem=RejectionRead.model_validate(model.problem) if model.problem else None,
        upload_id=model.source_upload_id,
        job_id=model.source_job_id,
        architecture=known.get("architecture"),
        input=known.get("input"),
        num_classes=known.get("num_classes"),
        class_names=known.get("class_names"),
        format=model.format,
        parameters=model.parameters,
        flops=model.flops,
        layers=None
        if model.layers is None
        else [LayerRead.model_validate(layer) for layer in model.layers],
        sha256=model.sha256,
        size_bytes=model.size_bytes,
        created_at=model.created_at,
        decided_at=model.decided_at,
    )
