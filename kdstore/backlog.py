"""What there is to do, over all workspaces: counts and ages for metrics, no tenant's data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kdstore.db import now
from kdstore.jobs.waiting import WAITING_SINCE, is_claimable
from kdstore.queue import INGEST_QUEUE, TRAINING_QUEUES
from kdstore.tables import Dataset, Job, Model, Upload
from kdstore.transitions import JobStatus

UNENDED: Final[tuple[JobStatus, ...]] = ("queued", "running", "pausing", "paused", "cancelling")
"""Every status of a job that has not ended: only these are counted, however long the history."""


@dataclass(frozen=True)
class Waiting:
    """How many pieces of work wait in a queue, and since how long the oldest; 0 if none does."""

    depth: int = 0
    oldest_age_seconds: float = 0.0


@dataclass(frozen=True)
class Backlog:
    """What there is to do, at one moment. Every status and every queue is a key."""

    num_jobs: Mapping[JobStatus, int]
    queues: Mapping[str, Waiting]
    num_open_uploads: int


def read_backlog(session: Session) -> Backlog:
    """Read it in four queries, each over an index of what has not ended."""
    at = now(session)
    num_jobs = dict.fromkeys(UNENDED, 0)
    queues = {queue: Waiting() for queue in (*TRAINING_QUEUES.values(), INGEST_QUEUE)}
    statement = (
        select(
            Job.status,
            Job.wanted_device,
            func.count(),
            func.count().filter(is_claimable(at)),
            func.min(WAITING_SINCE).filter(is_claimable(at)),
        )
        .where(Job.status.in_(UNENDED))
        .group_by(Job.status, Job.wanted_device)
    )
    for status, wanted_device, count, depth, oldest in session.execute(statement):
        num_jobs[status] += count
        if status == "queued":
            queues[TRAINING_QUEUES[wanted_device]] = _waiting(depth, oldest, at)
    queues[INGEST_QUEUE] = _waiting_for_ingest(session, at)
    open_uploads = select(func.count()).select_from(Upload).where(Upload.status == "pending")
    return Backlog(num_jobs, queues, session.execute(open_uploads).scalar_one())


def _waiting_for_ingest(session: Session, at: datetime) -> Waiting:
    """Count the models and datasets that wait for a validation nobody has begun."""
    found = [
        _waiting(*session.execute(statement).one(), at)
        for statement in (
            select(func.count(), func.min(table.created_at)).where(
                table.status == "validating", table.lease_expires_at.is_(None)
            )
            for table in (Model, Dataset)
        )
    ]
    return Waiting(
        depth=sum(each.depth for each in found),
        oldest_age_seconds=max(each.oldest_age_seconds for each in found),
    )


def _waiting(count: int, oldest: datetime | None, at: datetime) -> Waiting:
    age_seconds = (at - oldest).total_seconds() if oldest is not None else 0.0
    return Waiting(count, max(0.0, age_seconds))
