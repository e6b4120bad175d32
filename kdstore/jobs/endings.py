"""How an attempt ends: finished, failed, cancelled, paused, or handed back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from kdstore import fence as fences
from kdstore.artifacts import NewArtifact
from kdstore.fence import Fence, Owned
from kdstore.jobs.attempts import forget_checkpoints
from kdstore.jobs.status import JobError, change_status, close_attempt
from kdstore.jobs.waiting import backoff_seconds
from kdstore.tables import Artifact, ExitCause, Job, JobReport, JsonObject
from kdstore.transitions import JobStatus


@dataclass(frozen=True)
class Ended:
    """What an attempt's end has made of its job.

    `unreferred` are keys of objects that no row refers to any more: delete them after the commit.
    """

    status: JobStatus
    unreferred: tuple[str, ...] = ()


def finish(
    session: Session,
    fence: Fence,
    *,
    result: JsonObject,
    report: JsonObject,
    artifacts: Sequence[NewArtifact],
) -> Ended:
    """End the job as succeeded, with result, report and artifacts in the same transaction.

    Its checkpoints are forgotten in it as well: nobody would look for them afterwards.

    Returns:
        `succeeded`; or `cancelled` if a person cancelled it before: then nothing is recorded,
        and the caller deletes the artifacts' objects.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    owned = fences.write(session, fence)
    if owned.status == "cancelling":
        return Ended(_end(session, fence, owned, to_status="cancelled", exit_cause="cancelled"))
    session.add(JobReport(job_id=fence.job_id, body=report))
    for artifact in artifacts:
        session.add(
            Artifact(
                job_id=fence.job_id,
                name=artifact.name,
                object_key=artifact.object_key,
                size_bytes=artifact.size_bytes,
                sha256=artifact.sha256,
                media_type=artifact.media_type,
                created_at=owned.at,
            )
        )
    unreferred = forget_checkpoints(session, job_id=fence.job_id)
    status = _end(
        session, fence, owned, to_status="succeeded", exit_cause="finished", result=result
    )
    return Ended(status, unreferred)


def fail(
    session: Session,
    fence: Fence,
    *,
    error: JobError,
    exit_cause: ExitCause,
    retry_seconds: float = 0.0,
) -> JobStatus:
    """End the attempt by an error. A user's error fails the job; a system's is tried again.

    The next attempt begins after `retry_seconds`, doubled by each failure before.

    Returns:
        `failed`; or, when the system is at fault, `paused` if it was to pause, else `queued`
        while attempts are left (publish it after the commit, unless it is to wait); or `cancelled`
        if it was to be.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    owned = fences.write(session, fence)
    return end_in_failure(
        session, fence, owned, error=error, exit_cause=exit_cause, retry_seconds=retry_seconds
    )


def end_in_failure(
    session: Session,
    fence: Fence,
    owned: Owned,
    *,
    error: JobError,
    exit_cause: ExitCause,
    retry_seconds: float = 0.0,
) -> JobStatus:
    """Do as `fail`, for a caller that has locked the job's row already."""
    if owned.status == "cancelling":
        return _end(session, fence, owned, to_status="cancelled", exit_cause=exit_cause)
    job = session.get_one(Job, fence.job_id, populate_existing=True)
    failures = job.failures + 1
    to_status: JobStatus = "queued"
    if error.fault == "user":
        to_status = "failed"
    elif owned.status == "pausing":
        to_status = "paused"
    elif failures >= job.max_attempts:
        to_status = "failed"
    return _end(
        session,
        fence,
        owned,
        to_status=to_status,
        exit_cause=exit_cause,
        error=error,
        delay_seconds=backoff_seconds(retry_seconds, num_failures=failures),
        failures=failures,
    )


def release(
    session: Session, fence: Fence, *, error: JobError | None = None, delay_seconds: float = 0.0
) -> JobStatus:
    """Hand the job back; this is no failure of the attempt.

    The worker shuts down; or, as `error` tells, what the job needs cannot be had now, and
    it is to wait for `delay_seconds`.

    Returns:
        `queued` (publish it after the commit, unless it is to wait); or `cancelled` or `paused`
        if it was to be.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    owned = fences.write(session, fence)
    goals: dict[JobStatus, JobStatus] = {"cancelling": "cancelled", "pausing": "paused"}
    to_status = goals.get(owned.status, "queued")
    return _end(
        session,
        fence,
        owned,
        to_status=to_status,
        exit_cause="handed_back",
        error=error,
        delay_seconds=delay_seconds,
    )


def confirm_cancel(session: Session, fence: Fence) -> None:
    """Say that the work has stopped, as `cancelling` asked: the job is cancelled.

    Raises:
        AttemptLost: the attempt no longer owns the job.
        InvalidTransition: nobody asked to cancel it.
    """
    owned = fences.write(session, fence)
    _end(session, fence, owned, to_status="cancelled", exit_cause="cancelled")


def confirm_pause(session: Session, fence: Fence) -> JobStatus:
    """Say that the work has stopped with a checkpoint, as `pausing` asked.

    Returns:
        `paused`; or `cancelled` if a person cancelled it meanwhile.

    Raises:
        AttemptLost: the attempt no longer owns the job.
        InvalidTransition: nobody asked to pause it.
    """
    owned = fences.write(session, fence)
    if owned.status == "cancelling":
        return _end(session, fence, owned, to_status="cancelled", exit_cause="cancelled")
    return _end(session, fence, owned, to_status="paused", exit_cause="paused")


def _end(
    session: Session,
    fence: Fence,
    owned: Owned,
    *,
    to_status: JobStatus,
    exit_cause: ExitCause,
    error: JobError | None = None,
    delay_seconds: float = 0.0,
    **values: Any,
) -> JobStatus:
    """Close the attempt and move its job on. `values` are columns of any type, hence Any."""
    if to_status == "queued" and delay_seconds > 0:
        values["claimable_at"] = owned.at + timedelta(seconds=delay_seconds)
    close_attempt(session, fence, exit_cause=exit_cause, at=owned.at)
    change_status(
        session,
        fence.job_id,
        from_status=owned.status,  # nobody has changed it since: the fence holds the row's lock
        to_status=to_status,
        at=owned.at,
        error=error,
        **values,
    )
    return to_status
