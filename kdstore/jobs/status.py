"""The one function that changes a job's status, and tells it as an event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from kdcore.errors import Fault
from kdstore import events
from kdstore.errors import InvalidTransition, JobNotFound
from kdstore.fence import Fence
from kdstore.tables import Attempt, ExitCause, Job
from kdstore.transitions import OWNED, TERMINAL, JobStatus, may_become


@dataclass(frozen=True)
class JobError:
    """Why a job failed, or an attempt at it: what a client reads as `error`."""

    code: str
    message: str
    fault: Fault


def change_status(
    session: Session,
    job_id: str,
    *,
    from_status: JobStatus,
    to_status: JobStatus,
    at: datetime,
    error: JobError | None = None,
    **values: Any,
) -> bool:
    """Move a job from one status to another, with the columns that follow from it, and tell it.

    The error stays on the row only if the job has failed; the event has it in any case. `values`
    are further columns of any type, hence Any.

    Returns:
        False, with nothing changed, if the job is not in `from_status` (any more).

    Raises:
        InvalidTransition: the table does not allow this transition.
    """
    if not may_become(from_status, to_status):
        raise InvalidTransition(job_id, from_status, to_status)
    changed = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == from_status)
        .values(
            status=to_status, updated_at=at, **_implied(from_status, to_status, at, error) | values
        )
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[Any]", changed).rowcount == 0:
        return False
    event = events.StatusChanged(
        from_status=from_status,
        to_status=to_status,
        error_code=error.code if error else None,
        fault=error.fault if error else None,
    )
    events.append(session, job_id, event, at=at)
    return True


def _implied(
    from_status: JobStatus, to_status: JobStatus, at: datetime, error: JobError | None
) -> dict[str, Any]:
    """Columns whose value follows from the new status."""
    kept = error if to_status == "failed" else None
    implied: dict[str, Any] = {
        "ended_at": at if to_status in TERMINAL else None,
        "error_code": kept.code if kept else None,
        "error_message": kept.message if kept else None,
        "error_fault": kept.fault if kept else None,
        "claimable_at": None,
    }
    if to_status not in OWNED:
        implied |= {"lease_expires_at": None, "stage": None}
    if to_status == "queued":
        implied["published_at"] = at
        # What an attempt gives back keeps its place; what a person sends again goes behind.
        implied["claimable_at" if from_status in OWNED else "queued_at"] = at
    return implied


def lock(session: Session, *, workspace_id: str, job_id: str) -> Job:
    """Read a job of a workspace and keep others from changing it until commit.

    Raises:
        JobNotFound: no such job in this workspace.
    """
    job = session.scalar(
        select(Job)
        .where(Job.id == job_id, Job.workspace_id == workspace_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise JobNotFound(job_id)
    return job


def close_attempt(session: Session, fence: Fence, *, exit_cause: ExitCause, at: datetime) -> None:
    """Close the attempt's row and tell it as an event."""
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
        .values(ended_at=at, exit_cause=exit_cause)
        .execution_options(synchronize_session=False)
    )
    ended = events.AttemptEnded(attempt=fence.attempt, exit_cause=exit_cause)
    events.append(session, fence.job_id, ended, at=at)
