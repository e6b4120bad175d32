"""Jobs: the truth about what is to be trained and how far it is."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from kdcore.errors import Fault
from kdcore.progress import Stage
from kdcore.spec import WantedDevice
from kdstore.tables.base import Base, JsonObject
from kdstore.transitions import JobStatus


class Job(Base):
    """One job. Only `kdstore.jobs` writes `status`; attempts write fenced by `attempt_number`.

    `attempt_number` counts every claim and never goes back; `failures` counts the attempts that
    were lost or failed by the system's fault since creation or the last retry, and is what
    `max_attempts` limits. `queued_at` is when a person last sent it into the queue: its age there,
    which outlives attempts that give it back. `wanted_device`, `num_processes` and `memory_bytes`
    repeat the spec's `resources`, to be asked by SQL.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_workspace_id_created_at_id", "workspace_id", "created_at", "id"),
        Index("ix_jobs_status_lease_expires_at", "status", "lease_expires_at"),
        Index("ix_jobs_status_priority_queued_at", "status", "priority", "queued_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[JobStatus] = mapped_column(String(16))
    stage: Mapped[Stage | None] = mapped_column(String(16))
    spec: Mapped[JsonObject]  # the resolved spec: every default filled in
    tags: Mapped[dict[str, str]] = mapped_column(JSON)
    priority: Mapped[int] = mapped_column(default=0)  # higher first
    wanted_device: Mapped[WantedDevice] = mapped_column(String(8), server_default="any")
    num_processes: Mapped[int] = mapped_column(server_default="1")
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    progress: Mapped[JsonObject | None]  # kdcore.progress.Progress, the newest
    result: Mapped[JsonObject | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_fault: Mapped[Fault | None] = mapped_column(String(8))
    attempt_number: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    failures: Mapped[int] = mapped_column(default=0)
    lease_expires_at: Mapped[datetime | None]
    event_count: Mapped[int] = mapped_column(default=0)
    log_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    claimable_at: Mapped[datetime | None]  # while queued, of one that came back: from when on
    published_at: Mapped[datetime]  # when its message was last sent, as far as we know
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
