"""Uploads: files of strangers on their way in."""

from datetime import datetime
from typing import Literal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base

UploadPurpose = Literal["checkpoint", "dataset"]
UploadStatus = Literal["pending", "stored", "abandoned", "expired"]


class Upload(Base):
    """One file that arrives in parts. `sha256` is set at the latest when it is stored."""

    __tablename__ = "uploads"
    __table_args__ = (
        Index("ix_uploads_status_expires_at", "status", "expires_at"),
        CheckConstraint("size_bytes > 0", name="size_positive"),
        CheckConstraint("part_size_bytes > 0", name="part_size_positive"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), index=True)
    purpose: Mapped[UploadPurpose] = mapped_column(String(16))
    filename: Mapped[str] = mapped_column(String(255))  # for people; never a path here
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    part_size_bytes: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[UploadStatus] = mapped_column(String(16))
    object_key: Mapped[str | None] = mapped_column(String(512))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    stored_at: Mapped[datetime | None]

    @property
    def num_parts(self) -> int:
        """How many parts the file has; they are numbered from 1."""
        return -(-self.size_bytes // self.part_size_bytes)

    def part_bytes(self, number: int) -> int:
        """How many bytes part `number` has: the last one has what is left."""
        if number < self.num_parts:
            return self.part_size_bytes
        return self.size_bytes - (self.num_parts - 1) * self.part_size_bytes
