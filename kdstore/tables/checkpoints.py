"""Checkpoints: where a job's next attempt can go on from."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from kdcore.report import Run
from kdstore.tables.base import Base


class Checkpoint(Base):
    """A whole checkpoint in object storage, with the digest that proves it."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    total_steps: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run: Mapped[Run] = mapped_column(String(16))
    step: Mapped[int]
    object_key: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
