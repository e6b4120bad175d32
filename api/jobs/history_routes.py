"""Routes to watch a job: metrics, events, live stream, log."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.dependencies import ReaderDependency
from api.jobs import history
from api.jobs.glances import Place, glance
from api.jobs.schemas import EventRead, LogLineRead, MetricsRead
from api.jobs.stream import stream
from api.openapi import errors_of
from api.replies import reply
from api.schemas import MAX_LIST_ITEMS, JobId, Limit, ListOf
from api.state import state_of
from kdcore.report import Run
from kdstore.errors import JobNotFound

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

_MAX_STEP = 2**31 - 1
_EVENT_STREAM = "text/event-stream"

Number = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,9}$",
        description="Number of the last one you have; what comes after is given.",
    ),
]

_STREAM_RESPONSES: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The events; or, with `Accept: text/event-stream`, a live stream of them.",
        "content": {
            _EVENT_STREAM: {
                "schema": {"type": "string"},
                "example": 'event: stage_entered\ndata: {"number":3,"type":"stage_entered",…}\n'
                "id: 3\n\n",
            }
        },
    },
    204: {"description": "Stream only: the job has ended and you have every event. Stay away."},
}


@router.get(
    "/metrics",
    response_model=MetricsRead,
    summary="Read a job's curves",
    responses=errors_of(JobNotFound),
)
def get_job_metrics(
    job_id: JobId,
    reader: ReaderDependency,
    request: Request,
    *,
    name: Annotated[str | None, Query(max_length=64, description="Only this series.")] = None,
    run: Annotated[Run | None, Query(description="Only this run.")] = None,
    since_step: Annotated[int, Query(ge=0, le=_MAX_STEP, description="From this step on.")] = 0,
    max_points: Annotated[
        int, Query(ge=4, le=10_000, description="Most points of a series; extremes stay.")
    ] = 1000,
) -> Response:
    """Give series of steps and values, down-sampled without losing extremes."""
    metrics = history.read_metrics(
        reader.session,
        workspace_id=reader.workspace_id,
        job_id=job_id,
        name=name,
        run=run,
        since_step=since_step,
        max_points=max_points,
    )
    return reply(request, metrics)


@router.get(
    "/events",
    response_model=ListOf[EventRead],
    summary="Read or follow a job's events",
    responses=errors_of(JobNotFound) | _STREAM_RESPONSES,
)
def list_job_events(
    job_id: JobId,
    reader: ReaderDependency,
    request: Request,
    *,
    limit: Limit = MAX_LIST_ITEMS,
    cursor: Number = None,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,9}$",
            description="Sent by a stream that resumes.",
        ),
    ] = None,
) -> Response:
    """Give what has happened, oldest first; or follow it live.

    With `Accept: text/event-stream` the answer is a stream that begins after `Last-Event-ID` (or
    `cursor`) and ends with the job. Its events carry their number as id; `progress` comes between
    them, without an id.
    """
    after = int(last_event_id or cursor or 0)
    if _EVENT_STREAM not in request.headers.get("accept", ""):
        page = history.read_events(
            reader.session,
            workspace_id=reader.workspace_id,
            job_id=job_id,
            after=after,
            limit=limit,
        )
        return reply(request, page)
    state = state_of(request)
    found = glance(reader.session, Place(reader.workspace_id, job_id, after))
    if found.is_over and not found.events:
        # What the HTML standard has a browser's EventSource take as "do not reconnect".
        return Response(status_code=204)
    return StreamingResponse(
        stream(state, reader.principal, job_id, after=after),
        media_type=_EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get(
    "/logs",
    response_model=ListOf[LogLineRead],
    summary="Read a job's training log",
    responses=errors_of(JobNotFound),
)
def list_job_log_lines(
    job_id: JobId,
    reader: ReaderDependency,
    request: Request,
    *,
    tail: Annotated[int | None, Query(ge=1, le=1000, description="Only the last lines.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most lines of one answer.")] = 1000,
    cursor: Number = None,
) -> Response:
    """Give lines of the log, oldest first: the last ones, or those after a cursor."""
    if tail is not None:
        lines = history.read_log_tail(
            reader.session, workspace_id=reader.workspace_id, job_id=job_id, tail=tail
        )
    else:
        lines = history.read_log(
            reader.session,
            workspace_id=reader.workspace_id,
            job_id=job_id,
            after=int(cursor or 0),
            limit=limit,
        )
    return reply(request, lines)
