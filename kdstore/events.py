"""Events of a job: typed, numbered without gaps, written with the change they tell of."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, TypeAdapter
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kdcore.errors import Fault
from kdcore.progress import Stage
from kdcore.report import Run
from kdstore.tables import Event, ExitCause, Job
from kdstore.transitions import JobStatus


class _JobEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StatusChanged(_JobEvent):
    """The job's status changed; `error_code` and `fault` say why it failed or was requeued.

    `request_id` is on the first event alone: the request that created the job, found again in
    the logs of everything that was done for it.
    """

    type: Literal["status_changed"] = "status_changed"
    from_status: JobStatus | None
    to_status: JobStatus
    error_code: str | None = None
    fault: Fault | None = None
    request_id: str | None = None


class StageEntered(_JobEvent):
    """The running attempt entered a stage; in training one of a run, after so many of its steps."""

    type: Literal["stage_entered"] = "stage_entered"
    attempt: int
    stage: Stage
    run: Run | None = None
    training_stage: str | None = None
    step: int | None = None


class AttemptStarted(_JobEvent):
    """A worker claimed the job."""

    type: Literal["attempt_started"] = "attempt_started"
    attempt: int
    worker: str
    device: str


class AttemptResumed(_JobEvent):
    """Training goes on from a checkpoint; `run` is null when it had to start anew."""

    type: Literal["attempt_resumed"] = "attempt_resumed"
    attempt: int
    run: Run | None
    training_stage: str | None = None
    step: int


class AttemptEnded(_JobEvent):
    """The attempt no longer owns the job."""

    type: Literal["attempt_ended"] = "attempt_ended"
    attempt: int
    exit_cause: ExitCause


class CheckpointStored(_JobEvent):
    """A checkpoint is whole in object storage."""

    type: Literal["checkpoint_stored"] = "checkpoint_stored"
    attempt: int
    run: Run
    training_stage: str | None = None
    step: int
    total_steps: int


JobEvent = Annotated[
    StatusChanged
    | StageEntered
    | AttemptStarted
    | AttemptResumed
    | AttemptEnded
    | CheckpointStored,
    Discriminator("type"),
]

_EVENT: TypeAdapter[JobEvent] = TypeAdapter(JobEvent)


def append(session: Session, job_id: str, event: JobEvent, *, at: datetime) -> int:
    """Append one event and return its number.

    The number comes from the job row, whose lock the UPDATE holds until commit: numbers have no
    gaps, and appear in order.
    """
    number = session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(event_count=Job.event_count + 1)
        .returning(Job.event_count)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    data = event.model_dump(mode="json", exclude={"type"})
    session.add(Event(job_id=job_id, number=number, type=event.type, data=data, created_at=at))
    session.flush()  # so that an UPDATE that follows cannot overtake it in the log of statements
    return number


def read(
    session: Session, *, workspace_id: str, job_id: str, after: int = 0, limit: int = 200
) -> list[Event]:
    """Read at most `limit` events whose number is above `after`, in order.

    Empty as well when the job is not in this workspace: check with `jobs.get` where that matters.
    """
    return list(
        session.scalars(
            select(Event)
            .join(Job, Job.id == Event.job_id)
            .where(Job.workspace_id == workspace_id, Event.job_id == job_id, Event.number > after)
            .order_by(Event.number)
            .limit(limit)
        )
    )


def creating_request(session: Session, job_id: str) -> str | None:
    """Read the id of the request that created a job; None if nobody told."""
    first = session.get(Event, (job_id, 1))
    request_id = first.data.get("request_id") if first is not None else None
    return request_id if isinstance(request_id, str) else None


def parse(event: Event) -> JobEvent:
    """Make the typed event of a row."""
    return _EVENT.validate_python({"type": event.type, **event.data})
