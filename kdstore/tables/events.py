"""Events: what happened to a job, numbered without gaps."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base, JsonObject


class Event(Base):
    """One event of one job; `number` counts from 1."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[JsonObject]  # one of kdstore.events.JobEvent, without its type
    created_at: Mapped[datetime]
