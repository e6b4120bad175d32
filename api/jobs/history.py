"""What has happened to a job: metrics, events, log lines."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from api.jobs.schemas import EventRead, LogLineRead, MetricsRead, SeriesRead
from api.schemas import ListOf
from kdcore.report import Run
from kdstore import events, jobs, logs, metrics
from kdstore.tables import Event, LogLine


def read_metrics(
    session: Session,
    *,
    workspace_id: str,
    job_id: str,
    name: str | None,
    run: Run | None,
    since_step: int,
    max_points: int,
) -> MetricsRead:
    """Read curves, down-sampled without losing extremes. Raises JobNotFound."""
    jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    series = metrics.read(
        session,
        workspace_id=workspace_id,
        job_id=job_id,
        name=name,
        run=run,
        since_step=since_step,
        max_points=max_points,
    )
    return MetricsRead(
        series=[
            SeriesRead(
                name=each.name, run=each.run, steps=list(each.steps), values=list(each.values)
            )
            for each in series
        ]
    )


def read_events(
    session: Session, *, workspace_id: str, job_id: str, after: int, limit: int
) -> ListOf[EventRead]:
    """Read events after a number, oldest first. Raises JobNotFound."""
    jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    rows = events.read(
        session, workspace_id=workspace_id, job_id=job_id, after=after, limit=limit + 1
    )
    items = [describe_event(row) for row in rows[:limit]]
    return ListOf[EventRead](items=items, next_cursor=_next(rows, limit))


def read_log(
    session: Session, *, workspace_id: str, job_id: str, after: int, limit: int
) -> ListOf[LogLineRead]:
    """Read log lines after a number, oldest first. Raises JobNotFound."""
    jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    rows = logs.read(
        session, workspace_id=workspace_id, job_id=job_id, after=after, limit=limit + 1
    )
    items = [_line(row) for row in rows[:limit]]
    return ListOf[LogLineRead](items=items, next_cursor=_next(rows, limit))


def read_log_tail(
    session: Session, *, workspace_id: str, job_id: str, tail: int
) -> ListOf[LogLineRead]:
    """Read the last lines of the log, oldest first. Raises JobNotFound."""
    jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    rows = logs.tail(session, workspace_id=workspace_id, job_id=job_id, limit=tail)
    return ListOf[LogLineRead](items=[_line(row) for row in rows], next_cursor=None)


def describe_event(row: Event) -> EventRead:
    """Make the answer of a row."""
    return EventRead.model_validate(
        {
            "number": row.number,
            "type": row.type,
            "data": row.data,
            "created_at": row.created_at,
        }
    )


def _line(row: LogLine) -> LogLineRead:
    return LogLineRead(
        number=row.number,
        attempt=row.attempt_number,
        level=row.level,
        message=row.message,
        created_at=row.created_at,
    )


def _next(rows: Sequence[Event] | Sequence[LogLine], limit: int) -> str | None:
    """Name the last item given, if one more was found."""
    return str(rows[limit - 1].number) if len(rows) > limit else None
