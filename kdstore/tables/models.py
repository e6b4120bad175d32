"""Models: networks with weights that were validated, uploaded or taken from a job."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base, JsonObject, ValidationStatus


class Model(Base):
    """A network that can teach once it is `ready`.

    `requested` is what the person said of it (architecture, input, class_names); `description`
    is the whole NetworkDescription, known after validation. Exactly one source is set.
    """

    __tablename__ = "models"
    __table_args__ = (
        Index("ix_models_workspace_id_created_at_id", "workspace_id", "created_at", "id"),
        Index("ix_models_status_lease_expires_at", "status", "lease_expires_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[ValidationStatus] = mapped_column(String(16))
    problem: Mapped[JsonObject | None]
    source_upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id"), index=True)
    source_job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    requested: Mapped[JsonObject]
    description: Mapped[JsonObject | None]
    format: Mapped[str | None] = mapped_column(String(32))  # what the upload turned out to be
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    flops: Mapped[int | None] = mapped_column(BigInteger)  # of one image, 2 per multiply-add
    layers: Mapped[list[JsonObject] | None] = mapped_column(JSON(none_as_null=True))
    object_key: Mapped[str | None] = mapped_column(String(512))  # canonical safetensors
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)  # of that object
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    validation_number: Mapped[int] = mapped_column(default=0)  # counts claims, never goes back
    validations_lost: Mapped[int] = mapped_column(default=0)  # perhaps by the file's own doing
    reading_number: Mapped[int | None]  # of the validation whose reader is at the file
    lease_expires_at: Mapped[datetime | None]
    claimable_at: Mapped[datetime | None]  # set while the next try is put off
    created_at: Mapped[datetime]
    published_at: Mapped[datetime]  # when its message was last sent, as far as we know
    decided_at: Mapped[datetime | None]
