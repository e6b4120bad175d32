"""Which queued job is next: by priority, then in turn between workspaces, then by age."""

from datetime import datetime, timedelta

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from kdstore.capacity import Capacity, fits
from kdstore.db import now
from kdstore.jobs.attempts import Claim, claim
from kdstore.jobs.waiting import is_claimable
from kdstore.tables import Job, Workspace
from kdstore.transitions import OWNED


def claim_next(
    session: Session, capacity: Capacity, *, worker: str, device: str, lease_seconds: float
) -> Claim | None:
    """Take the job whose turn it is among those that a worker of this capacity can run.

    Of equal priority, the workspace with the fewest running jobs is served first, then the one
    that has waited longest since it was last served; of a workspace, the job queued first. Jobs
    that wait for a failure to pass are left out.

    Returns:
        None if no queued job fits, or another worker was faster with the last that did.
    """
    job_id = session.scalar(_next(capacity, at=now(session)))
    if job_id is None:
        return None
    return claim(session, job_id, worker=worker, device=device, lease_seconds=lease_seconds)


def is_waiting(session: Session, capacity: Capacity, *, older_than_seconds: float) -> bool:
    """Tell whether a queued job fits, and its last message was sent longer ago than that."""
    at = now(session)
    oldest = at - timedelta(seconds=older_than_seconds)
    waiting = exists().where(is_claimable(at), Job.published_at < oldest, fits(capacity))
    return bool(session.scalar(select(waiting)))


def _next(capacity: Capacity, *, at: datetime) -> Select[str]:
    running = aliased(Job)
    share = (
        select(running.workspace_id, func.count().label("num_running"))
        .where(running.status.in_(OWNED))
        .group_by(running.workspace_id)
        .subquery()
    )
    return (
        select(Job.id)
        .join(Workspace, Workspace.id == Job.workspace_id)
        .outerjoin(share, share.c.workspace_id == Job.workspace_id)
        .where(is_claimable(at), fits(capacity))
        .order_by(
            Job.priority.desc(),
            func.coalesce(share.c.num_running, 0),
            Workspace.served_at.asc().nulls_first(),
            Job.queued_at,
            Job.id,
        )
        .limit(1)
        # Of two workers that look at once, each takes another job.
        .with_for_update(of=Job, skip_locked=True)
    )
