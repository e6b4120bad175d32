"""Attempts: each claim of a job by a worker."""

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base

ExitCause = Literal[
    "finished",
    "cancelled",
    "paused",
    "handed_back",
    "user_error",
    "diverged",
    "out_of_memory",
    "timed_out",
    "disk_full",
    "killed",
    "lost",
    "system_error",
]


class Attempt(Base):
    """One attempt at a job; open while `ended_at` is null."""

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str] = mapped_column(String(200))
    device: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    exit_cause: Mapped[ExitCause | None] = mapped_column(String(32))
    resumed_from_step: Mapped[int | None]  # total steps of all runs that were not repeated
    trained_seconds: Mapped[float] = mapped_column(default=0.0)
