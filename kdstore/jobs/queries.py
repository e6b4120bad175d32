"""Reading jobs, always within one workspace."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from kdstore.errors import JobNotFound, ReportNotFound
from kdstore.pages import Page, read_page
from kdstore.tables import Attempt, Job, JobReport, JobTag, JsonObject
from kdstore.transitions import JobStatus

# Made once: what is asked for most often must not be put together every time.
_OF_WORKSPACE = Job.workspace_id == bindparam("workspace_id")
_JOB = select(Job).where(Job.id == bindparam("job_id"), _OF_WORKSPACE)
_ATTEMPTS = (
    select(Attempt)
    .join(Job, Job.id == Attempt.job_id)
    .where(_OF_WORKSPACE, Attempt.job_id == bindparam("job_id"))
    .order_by(Attempt.number)
)


def get(session: Session, *, workspace_id: str, job_id: str) -> Job:
    """Read one job.

    Raises:
        JobNotFound: no such job in this workspace.
    """
    job = session.scalar(_JOB, {"workspace_id": workspace_id, "job_id": job_id})
    if job is None:
        raise JobNotFound(job_id)
    return job


def page(
    session: Session,
    *,
    workspace_id: str,
    limit: int = 50,
    cursor: str | None = None,
    status: JobStatus | None = None,
    kind: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Page[Job]:
    """Read one page of jobs, newest first, filtered by status, kind, and tags: all must match.

    Raises:
        CursorInvalid: `cursor` did not come from a page.
    """
    statement = select(Job).where(Job.workspace_id == workspace_id)
    if status is not None:
        statement = statement.where(Job.status == status)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    for tag, value in (tags or {}).items():
        statement = statement.where(
            exists().where(JobTag.job_id == Job.id, JobTag.name == tag, JobTag.value == value)
        )
    return read_page(session, statement, Job, limit=limit, cursor=cursor)


def attempts_of_one(session: Session, *, workspace_id: str, job_id: str) -> Sequence[Attempt]:
    """Read the attempts of a job, in order."""
    return session.scalars(_ATTEMPTS, {"workspace_id": workspace_id, "job_id": job_id}).all()


def attempts_of(
    session: Session, *, workspace_id: str, job_ids: Sequence[str]
) -> dict[str, list[Attempt]]:
    """Read the attempts of several jobs at once, in order; every id given is a key."""
    found: dict[str, list[Attempt]] = {job_id: [] for job_id in job_ids}
    statement = (
        select(Attempt)
        .join(Job, Job.id == Attempt.job_id)
        .where(Job.workspace_id == workspace_id, Attempt.job_id.in_(job_ids))
        .order_by(Attempt.job_id, Attempt.number)
    )
    for attempt in session.scalars(statement):
        found[attempt.job_id].append(attempt)
    return found


def get_report(session: Session, *, workspace_id: str, job_id: str) -> JsonObject:
    """Read the report of a succeeded job, as `kdcore.report.Report` wrote it.

    Raises:
        JobNotFound: no such job in this workspace.
        ReportNotFound: it has not succeeded (yet).
    """
    get(session, workspace_id=workspace_id, job_id=job_id)
    report = session.get(JobReport, job_id)
    if report is None:
        raise ReportNotFound(job_id)
    return report.body
