"""Duties: work that one worker does for all, now and then."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base


class Duty(Base):
    """One duty: who did it last, and when it is due again."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    worker: Mapped[str] = mapped_column(String(200))
    due_at: Mapped[datetime]
