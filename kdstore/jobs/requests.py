"""What a person asks of a job: create, cancel, pause, resume, retry."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from kdcore.spec import AnyJob, Limits
from kdstore import events
from kdstore.db import now
from kdstore.errors import InvalidTransition
from kdstore.ids import new_id
from kdstore.jobs.status import change_status, lock
from kdstore.tables import Job, JobTag
from kdstore.transitions import JobStatus

_CANCEL: Mapping[JobStatus, JobStatus] = {
    "queued": "cancelled",
    "paused": "cancelled",
    "running": "cancelling",
    "pausing": "cancelling",
}
_PAUSE: Mapping[JobStatus, JobStatus] = {"queued": "paused", "running": "pausing"}
_RESUME: Mapping[JobStatus, JobStatus] = {"paused": "queued"}
_RETRY: Mapping[JobStatus, JobStatus] = {"failed": "queued", "cancelled": "queued"}


def create(
    session: Session, *, workspace_id: str, spec: AnyJob, request_id: str | None = None
) -> Job:
    """Insert a job as `queued`. Publish its id after the commit, not before.

    `spec` is the resolved spec: ids of this workspace, every default filled in. `request_id` is
    kept for the logs of the job's attempts.
    """
    at = now(session)
    job = Job(
        id=new_id("job"),
        workspace_id=workspace_id,
        kind=spec.kind,
        name=spec.name,
        status="queued",
        spec=spec.model_dump(mode="json"),
        tags=dict(spec.tags),
        priority=spec.priority,
        wanted_device=spec.resources.device,
        num_processes=spec.resources.num_processes,
        memory_bytes=spec.resources.memory_bytes,
        max_attempts=spec.limits.max_attempts,
        created_at=at,
        queued_at=at,
        published_at=at,
        updated_at=at,
    )
    session.add(job)
    session.flush()  # tags refer to the row, and the event's number is counted on it
    session.add_all(
        JobTag(job_id=job.id, name=name, value=value) for name, value in spec.tags.items()
    )
    created = events.StatusChanged(from_status=None, to_status="queued", request_id=request_id)
    events.append(session, job.id, created, at=at)
    session.refresh(job)
    return job


def request_cancel(session: Session, *, workspace_id: str, job_id: str) -> Job:
    """Cancel a job: at once if nobody runs it, else `cancelling` until its worker has stopped.

    Asking again while it is `cancelling` changes nothing.

    Raises:
        JobNotFound: no such job in this workspace.
        InvalidTransition: the job has ended.
    """
    job = lock(session, workspace_id=workspace_id, job_id=job_id)
    if job.status == "cancelling":
        return job
    return _move(session, job, _CANCEL, wanted="cancelled")


def request_pause(session: Session, *, workspace_id: str, job_id: str) -> Job:
    """Pause a job: at once if it is queued, else `pausing` until its checkpoint is stored.

    Asking again while it is `pausing` changes nothing.

    Raises:
        JobNotFound: no such job in this workspace.
        InvalidTransition: the job is not queued, running or pausing.
    """
    job = lock(session, workspace_id=workspace_id, job_id=job_id)
    if job.status == "pausing":
        return job
    return _move(session, job, _PAUSE, wanted="paused")


def resume(session: Session, *, workspace_id: str, job_id: str) -> Job:
    """Queue a paused job again; it goes on from its newest checkpoint. Publish after commit.

    Raises:
        JobNotFound: no such job in this workspace.
        InvalidTransition: the job is not paused.
    """
    job = lock(session, workspace_id=workspace_id, job_id=job_id)
    return _move(session, job, _RESUME, wanted="queued")


def retry(session: Session, *, workspace_id: str, job_id: str, limits: Limits | None = None) -> Job:
    """Queue a failed or cancelled job again with all its attempts granted anew.

    It goes on from its newest checkpoint, under `limits` as far as these were set. Publish after
    commit.

    Raises:
        JobNotFound: no such job in this workspace.
        InvalidTransition: the job neither failed nor was cancelled.
    """
    job = lock(session, workspace_id=workspace_id, job_id=job_id)
    changed = limits.model_dump(exclude_unset=True) if limits else {}
    raised = {**job.spec.get("limits", {}), **changed}
    return _move(
        session,
        job,
        _RETRY,
        wanted="queued",
        failures=0,
        spec={**job.spec, "limits": raised},
        max_attempts=raised.get("max_attempts", job.max_attempts),
    )


def _move(
    session: Session,
    job: Job,
    goals: Mapping[JobStatus, JobStatus],
    *,
    wanted: JobStatus,
    **values: Any,
) -> Job:
    """Move a locked job to where `goals` send its status; `wanted` is what the person asked for.

    `values` are further columns of any type, hence Any.
    """
    to_status = goals.get(job.status)
    if to_status is None:
        raise InvalidTransition(job.id, job.status, wanted)
    at = now(session)
    change_status(session, job.id, from_status=job.status, to_status=to_status, at=at, **values)
    session.refresh(job)
    return job
