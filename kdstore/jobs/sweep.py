"""The sweeper's part: jobs whose worker went silent, and jobs whose message was lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from kdcore.spec import WantedDevice
from kdstore.db import now
from kdstore.fence import Fence, Owned
from kdstore.jobs.endings import end_in_failure
from kdstore.jobs.status import JobError
from kdstore.jobs.waiting import is_claimable
from kdstore.tables import Attempt, Job
from kdstore.transitions import OWNED, JobStatus


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits, and what its message must reach."""

    id: str
    wanted_device: WantedDevice


@dataclass(frozen=True)
class LostAttempt:
    """An attempt whose worker went silent, closed by this sweep alone."""

    job_id: str
    number: int
    worker: str
    device: str
    started_at: datetime


@dataclass(frozen=True)
class SweptJobs:
    """What one sweep did. Publish `to_publish` after the commit: requeued and stale ones.

    `lost` are the attempts of all those that were not merely stale.
    """

    to_publish: tuple[QueuedJob, ...]
    requeued: tuple[str, ...]
    failed: tuple[str, ...]
    cancelled: tuple[str, ...]
    paused: tuple[str, ...]
    lost: tuple[LostAttempt, ...]


def sweep(session: Session, *, republish_seconds: float, limit: int = 100) -> SweptJobs:
    """Close attempts whose lease has run out by the database's clock, and find stale messages.

    A silent attempt is closed as `lost`. Its job is queued again, or fails as
    `attempts_exhausted`; one that was `cancelling` is cancelled, one that was `pausing` paused.
    Of the next `limit` jobs in the queue (by priority, then age), those whose message was sent
    more than `republish_seconds` ago, or before they could be claimed, are to be published again.
    """
    ended: dict[JobStatus, list[str]] = {"failed": [], "cancelled": [], "paused": []}
    requeued: list[QueuedJob] = []
    lost: list[LostAttempt] = []
    for job in _silent(session, limit=limit):
        lost.append(_lost_attempt(session, job))
        status = _close_lost(session, job)
        if status == "queued":
            requeued.append(QueuedJob(job.id, job.wanted_device))
        else:
            ended[status].append(job.id)
    stale = _stale(session, republish_seconds=republish_seconds, limit=limit)
    return SweptJobs(
        to_publish=(*requeued, *stale),
        requeued=tuple(job.id for job in requeued),
        failed=tuple(ended["failed"]),
        cancelled=tuple(ended["cancelled"]),
        paused=tuple(ended["paused"]),
        lost=tuple(lost),
    )


def _silent(session: Session, *, limit: int) -> list[Job]:
    """Lock jobs whose lease has run out; those that another sweeper has locked are its own."""
    statement = (
        select(Job)
        .where(Job.status.in_(OWNED), Job.lease_expires_at < now(session))
        .order_by(Job.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return list(session.scalars(statement))


def _lost_attempt(session: Session, job: Job) -> LostAttempt:
    attempt = session.get_one(Attempt, (job.id, job.attempt_number))
    return LostAttempt(
        job_id=job.id,
        number=attempt.number,
        worker=attempt.worker,
        device=attempt.device,
        started_at=attempt.started_at,
    )


def _close_lost(session: Session, job: Job) -> JobStatus:
    is_last = job.failures + 1 >= job.max_attempts
    error = JobError(
        code="attempts_exhausted" if is_last else "worker_lost",
        message=(
            f"The worker of attempt {job.attempt_number} went silent, and the job has failed as "
            f"often as it may ({job.max_attempts}). Retry it to go on from its newest checkpoint."
        ),
        fault="system",
    )
    owned = Owned(status=job.status, at=now(session))
    fence = Fence(job.id, job.attempt_number)
    return end_in_failure(session, fence, owned, error=error, exit_cause="lost")


def _stale(session: Session, *, republish_seconds: float, limit: int) -> list[QueuedJob]:
    """Find those next in the queue whose message seems lost, and note that they get a new one.

    Only the head of the queue: a long queue with busy workers must not fill the broker. Only the
    stale ones are locked: claims pass over a locked job, and take one of a lower priority.
    """
    at = now(session)
    oldest = at - timedelta(seconds=republish_seconds)
    in_order = (Job.priority.desc(), Job.queued_at)
    head = select(Job.id).where(is_claimable(at)).order_by(*in_order).limit(limit)
    is_stale = or_(Job.published_at < oldest, Job.published_at < Job.claimable_at)
    statement = (
        select(Job.id, Job.wanted_device)
        .where(Job.id.in_(head), is_claimable(at), is_stale)
        .order_by(*in_order)
        .with_for_update(skip_locked=True)
    )
    stale = [QueuedJob(*found) for found in session.execute(statement)]
    session.execute(
        update(Job)
        .where(Job.id.in_([job.id for job in stale]), Job.status == "queued")
        .values(published_at=at)
        .execution_options(synchronize_session=False)
    )
    return stale
