"""What jobs do: requests in, answers out."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from api.jobs import checks
from api.jobs.forecast import forecast
from api.jobs.placement import placement_warnings
from api.jobs.schemas import (
    AttemptRead,
    JobErrorRead,
    JobKind,
    JobRead,
    JobValidation,
    ProgressRead,
)
from api.schemas import ListOf
from kdcore.spec import AnyJob
from kdstore import jobs
from kdstore.jobs import JobStatus
from kdstore.tables import Attempt, Job


def validate(session: Session, *, workspace_id: str, job: AnyJob) -> JobValidation:
    """Tell what a job would be. Raises InputsUnusable, IncompatibleInputs, SpecInvalid."""
    checked = checks.check(session, workspace_id=workspace_id, job=job)
    expected = forecast(session, workspace_id=workspace_id, checked=checked)
    warnings = [*expected.warnings, *placement_warnings(session, checked.job)]
    return expected.model_copy(update={"warnings": warnings})


def create(
    session: Session, *, workspace_id: str, job: AnyJob, request_id: str | None = None
) -> JobRead:
    """Insert a job as queued. Raises InputsUnusable, IncompatibleInputs, SpecInvalid."""
    checked = checks.check(session, workspace_id=workspace_id, job=job)
    created = jobs.create(
        session, workspace_id=workspace_id, spec=checked.job, request_id=request_id
    )
    return describe(created, [])


def read(session: Session, *, workspace_id: str, job_id: str) -> JobRead:
    """Read one job with its attempts: two queries, however long its history. Raises JobNotFound."""
    job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    return with_attempts(session, job)


def with_attempts(session: Session, job: Job) -> JobRead:
    """Make the answer of a row that has been read."""
    attempts = jobs.attempts_of_one(session, workspace_id=job.workspace_id, job_id=job.id)
    return describe(job, attempts)


def read_page(
    session: Session,
    *,
    workspace_id: str,
    limit: int,
    cursor: str | None,
    status: JobStatus | None,
    kind: JobKind | None,
    tags: Mapping[str, str],
) -> ListOf[JobRead]:
    """Read one page of jobs. Raises CursorInvalid."""
    page = jobs.page(
        session,
        workspace_id=workspace_id,
        limit=limit,
        cursor=cursor,
        status=status,
        kind=kind,
        tags=tags,
    )
    attempts = jobs.attempts_of(
        session, workspace_id=workspace_id, job_ids=[job.id for job in page.items]
    )
    return ListOf[JobRead](
        items=[describe(job, attempts[job.id]) for job in page.items],
        next_cursor=page.next_cursor,
    )


def describe(job: Job, attempts: Sequence[Attempt]) -> JobRead:
    """Make the answer of a row and its attempts."""
    error = None
    if job.error_code is not None:
        error = JobErrorRead(
            code=job.error_code,
            message=job.error_message or "",
            fault=job.error_fault or "system",
        )
    return JobRead.model_validate(
        {
            "id": job.id,
            "kind": job.kind,
            "name": job.name,
            "status": job.status,
            "stage": job.stage,
            "progress": progress_of(job),
            "spec": job.spec,
            "result": job.result,
            "error": error,
            "attempts": [_attempt(attempt) for attempt in attempts],
            "tags": job.tags,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "ended_at": job.ended_at,
        }
    )


def progress_of(job: Job) -> ProgressRead | None:
    """Read the newest progress on the row."""
    if job.progress is None:
        return None
    return ProgressRead.model_validate({"training_stage": None, **job.progress})


def _attempt(attempt: Attempt) -> AttemptRead:
    return AttemptRead(
        number=attempt.number,
        worker=attempt.worker,
        device=attempt.device,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        exit_cause=attempt.exit_cause,
        resumed_from_step=attempt.resumed_from_step,
    )
