"""Routes of jobs: ask for one, read it, stop it, start it again."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Query
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import (
    Credentials,
    ReaderDependency,
    Writer,
    WriterDependency,
    opened_reader,
)
from api.errors import InputsUnusable
from api.idempotency import Created, CreatingRequestDependency
from api.jobs import examples, service
from api.jobs.schemas import JobKind, JobRead, JobRetry, JobValidation
from api.openapi import errors_of
from api.replies import reply
from api.schemas import Cursor, JobId, Limit, ListOf
from kdcore.spec import JobSpec
from kdstore import jobs
from kdstore.errors import CursorInvalid, InvalidTransition, JobNotFound
from kdstore.jobs import JobStatus
from kdstore.queue import TRAIN_JOB, TRAINING_QUEUES
from kdstore.tables import Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobBody = Annotated[
    JobSpec,
    Body(examples=[examples.DISTILL_REQUEST, examples.TRAIN_REQUEST, examples.EVALUATE_REQUEST]),
]
RetryBody = Annotated[JobRetry | None, Body(examples=[{"limits": {"max_seconds": 172_800}}])]
Tags = Annotated[
    list[Annotated[str, Query(pattern=r"^[^:]{1,64}:.{0,256}$")]],
    Query(max_length=8, description="`name:value`; only jobs that have every tag given."),
]

_TRANSITION_ERRORS = errors_of(JobNotFound, InvalidTransition, writes=True)


@router.post(
    "/validate",
    summary="Try a job without creating it",
    responses=errors_of(InputsUnusable, body=True),
)
def validate_job(job: JobBody, reader: ReaderDependency) -> JobValidation:
    """Fill in every default and tell what the job would be: sizes, FLOPs, time, warnings."""
    return service.validate(reader.session, workspace_id=reader.workspace_id, job=job)


@router.post(
    "",
    status_code=201,
    response_model=JobRead,
    summary="Create a job",
    responses=errors_of(InputsUnusable, writes=True, creates=True, body=True),
)
def create_job(
    job: JobBody, writer: WriterDependency, creating: CreatingRequestDependency
) -> Response:
    """Queue a training (`train`), a distillation (`distill`) or an evaluation (`evaluate`)."""

    def create() -> Created:
        created = service.create(
            writer.session,
            workspace_id=writer.workspace_id,
            job=job,
            request_id=writer.request_id,
        )
        queue = TRAINING_QUEUES[job.resources.device]
        writer.publish(TRAIN_JOB, created.id, queue, begins_trace=True)
        return Created(201, created, location=f"/v1/jobs/{created.id}")

    return creating.answer(writer, create)


@router.get(
    "",
    response_model=ListOf[JobRead],
    summary="List jobs",
    responses=errors_of(CursorInvalid),
)
def list_jobs(
    reader: ReaderDependency,
    request: Request,
    *,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[JobStatus | None, Query(description="Only these.")] = None,
    kind: Annotated[JobKind | None, Query(description="Only these.")] = None,
    tag: Tags = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """List the workspace's jobs, newest first."""
    page = service.read_page(
        reader.session,
        workspace_id=reader.workspace_id,
        limit=limit,
        cursor=cursor,
        status=status,
        kind=kind,
        tags={name: value for name, _, value in (each.partition(":") for each in tag)},
    )
    return reply(request, page)


@router.get(
    "/{job_id}", response_model=JobRead, summary="Read a job", responses=errors_of(JobNotFound)
)
def get_job(job_id: JobId, credentials: Credentials, request: Request) -> Response:
    """Tell how a job stands, with its resolved spec, progress and attempts."""
    with opened_reader(request, credentials) as reader:
        job = service.read(reader.session, workspace_id=reader.workspace_id, job_id=job_id)
    return reply(request, job)


@router.post(
    "/{job_id}/cancel", status_code=202, summary="Cancel a job", responses=_TRANSITION_ERRORS
)
def cancel_job(job_id: JobId, writer: WriterDependency) -> JobRead:
    """Stop a job for good: at once if nobody runs it, else as soon as its worker has stopped."""
    return _move(jobs.request_cancel, job_id, writer)


@router.post(
    "/{job_id}/pause", status_code=202, summary="Pause a job", responses=_TRANSITION_ERRORS
)
def pause_job(job_id: JobId, writer: WriterDependency) -> JobRead:
    """Stop a job for now, with a checkpoint to go on from."""
    return _move(jobs.request_pause, job_id, writer)


@router.post(
    "/{job_id}/resume", status_code=202, summary="Resume a job", responses=_TRANSITION_ERRORS
)
def resume_job(job_id: JobId, writer: WriterDependency) -> JobRead:
    """Queue a paused job; it goes on from its newest checkpoint."""
    return _move(jobs.resume, job_id, writer)


@router.post(
    "/{job_id}/retry", status_code=202, summary="Retry a job", responses=_TRANSITION_ERRORS
)
def retry_job(job_id: JobId, writer: WriterDependency, wish: RetryBody = None) -> JobRead:
    """Queue a failed or cancelled job again; it goes on from its newest checkpoint.

    One that has used up `limits.max_seconds` needs more of them. What is left out stays.
    """
    transition = partial(jobs.retry, limits=wish.limits if wish else None)
    return _move(transition, job_id, writer)


def _move(transition: Callable[..., Job], job_id: str, writer: Writer) -> JobRead:
    session: Session = writer.session
    job = transition(session, workspace_id=writer.workspace_id, job_id=job_id)
    if job.status == "queued":
        writer.publish(TRAIN_JOB, job.id, TRAINING_QUEUES[job.wanted_device])
    return service.with_attempts(session, job)
