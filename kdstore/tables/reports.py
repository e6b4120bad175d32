"""Reports: the evaluation of a finished job, apart from the job row because it can be large."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from kdstore.tables.base import Base, JsonObject


class JobReport(Base):
    """The report of one succeeded job, as kdcore.report.Report wrote it."""

    __tablename__ = "job_reports"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    body: Mapped[JsonObject]
