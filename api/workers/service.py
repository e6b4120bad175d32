"""Reads who works, on what, and how long the queue is."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.workers.schemas import QueueRead, WorkerRead, WorkersRead
from kdstore import workers
from kdstore.db import now
from kdstore.jobs.waiting import WAITING_SINCE, is_claimable
from kdstore.tables import Attempt, Job

# A worker shows itself with every heartbeat; a silent one has lost its lease long before.
_SEEN_WITHIN_SECONDS = 120.0


def read(session: Session, *, workspace_id: str) -> WorkersRead:
    """Read the workers seen lately and the length of the queue."""
    working = session.execute(
        select(Attempt.worker, Attempt.job_id)
        .join(Job, Job.id == Attempt.job_id)
        .where(Job.workspace_id == workspace_id, Attempt.ended_at.is_(None))
    )
    job_of = {worker: job_id for worker, job_id in working}  # noqa: C416  # rows are not tuples
    num_jobs, oldest = session.execute(
        select(func.count(), func.min(WAITING_SINCE)).where(is_claimable(now(session)))
    ).one()
    return WorkersRead(
        workers=[
            WorkerRead(
                name=worker.name,
                device=worker.device,
                max_processes=worker.max_processes,
                memory_bytes=worker.memory_bytes,
                started_at=worker.started_at,
                last_seen_at=worker.last_seen_at,
                job_id=job_of.get(worker.name),
            )
            for worker in workers.read_all(session, within_seconds=_SEEN_WITHIN_SECONDS)
        ],
        queue=QueueRead(num_jobs=num_jobs, oldest_queued_at=oldest),
    )
