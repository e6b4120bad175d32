"""Datasets: canonical arrays made from uploads, and the built-in ones."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base, JsonObject, ValidationStatus


class Dataset(Base):
    """A dataset that can be trained on once it is `ready`.

    Built-in ones belong to no workspace, are seen by all, and have their name as id.
    `files` lists the canonical folder's objects as {name, object_key, sha256, size_bytes}.
    """

    __tablename__ = "datasets"
    __table_args__ = (
        Index("ix_datasets_workspace_id_created_at_id", "workspace_id", "created_at", "id"),
        Index("ix_datasets_status_lease_expires_at", "status", "lease_expires_at"),
        CheckConstraint("builtin = (workspace_id IS NULL)", name="builtin_has_no_workspace"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    workspace_id: Mapped[str | None] = mapped_column(ForeignKey("workspaces.id"))
    builtin: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[ValidationStatus] = mapped_column(String(16))
    problem: Mapped[JsonObject | None]
    source_upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id"), index=True)
    format: Mapped[str] = mapped_column(String(32))
    requested_class_names: Mapped[list[str]] = mapped_column(JSON, default=list)
    description: Mapped[JsonObject | None]  # kdcore's DatasetDescription
    files: Mapped[list[JsonObject] | None] = mapped_column(JSON(none_as_null=True))
    thumbnails: Mapped[list[JsonObject] | None] = mapped_column(JSON(none_as_null=True))
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)  # of dataset.json
    validation_number: Mapped[int] = mapped_column(default=0)  # counts claims, never goes back
    validations_lost: Mapped[int] = mapped_column(default=0)  # perhaps by the file's own doing
    reading_number: Mapped[int | None]  # of the validation whose reader is at the file
    lease_expires_at: Mapped[datetime | None]
    claimable_at: Mapped[datetime | None]  # set while the next try is put off
    created_at: Mapped[datetime]
    published_at: Mapped[datetime]  # when its message was last sent, as far as we know
    decided_at: Mapped[datetime | None]
