"""Job tags: what people filter lists of jobs by."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base


class JobTag(Base):
    """One tag of one job, beside `jobs.tags`: no JSON path can name every tag on SQLite."""

    __tablename__ = "job_tags"
    __table_args__ = (Index("ix_job_tags_name_value", "name", "value"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(256))
