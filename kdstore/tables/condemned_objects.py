"""Condemned objects: those that no row referred to, and that no row may refer to again."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base


class CondemnedObject(Base):
    """One key of object storage that is to be deleted, or has been.

    Rows of keys that are named by content stay for good: such a key is never used again.
    """

    __tablename__ = "condemned_objects"
    __table_args__ = (
        Index("ix_condemned_objects_deleted_at_condemned_at", "deleted_at", "condemned_at"),
    )

    key: Mapped[str] = mapped_column(String(512), primary_key=True)
    condemned_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
