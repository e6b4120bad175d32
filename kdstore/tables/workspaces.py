"""Workspaces: everything belongs to one, and sees nothing of another."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base


class Workspace(Base):
    """A group of people who share jobs, models and datasets."""

    __tablename__ = "workspaces"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime]
    served_at: Mapped[datetime | None]  # when a worker last took one of its jobs
