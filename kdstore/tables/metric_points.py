"""Metric points: the curves of a job's runs."""

from sqlalchemy import Double, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from kdcore.report import Run
from kdstore.tables.base import Base


class MetricPoint(Base):
    """One finite value of one series at one optimizer step."""

    __tablename__ = "metric_points"
    # The primary key is the row's place on SQLite too: a series lies together on disk.
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012  # declared so by SQLAlchemy

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    run: Mapped[Run] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[float] = mapped_column(Double)
