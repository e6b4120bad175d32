"""The fence around a job: an attempt writes only while it owns the job."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from kdstore.db import now
from kdstore.errors import AttemptLost
from kdstore.tables import Job
from kdstore.transitions import OWNED, JobStatus


@dataclass(frozen=True)
class Fence:
    """Which attempt of which job writes. Comes from a claim and is good until it is lost."""

    job_id: str
    attempt: int


@dataclass(frozen=True)
class Owned:
    """What a fenced write found: the job's status, unchanged, and the database's time."""

    status: JobStatus
    at: datetime


def write(session: Session, fence: Fence, **values: Any) -> Owned:
    """Change columns of the job, other than its status, if `fence` still owns it.

    One UPDATE with the fence in its WHERE. It locks the row until commit, so whatever else the
    transaction writes afterwards is fenced as well. `values` may hold any column type, hence Any.

    Raises:
        AttemptLost: another attempt owns the job, or it has ended.
    """
    at = now(session)
    status = session.execute(
        update(Job)
        .where(Job.id == fence.job_id, Job.attempt_number == fence.attempt, Job.status.in_(OWNED))
        .values(updated_at=at, **values)
        .returning(Job.status)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if status is None:
        raise AttemptLost(fence.job_id, fence.attempt)
    return Owned(status=status, at=at)
