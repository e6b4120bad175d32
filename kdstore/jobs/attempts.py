"""What an attempt does while it owns a job: claim, heartbeat, progress, checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from kdcore.progress import Progress, Resumed, StageStarted
from kdcore.report import Run
from kdcore.spec import AnyJob, WantedDevice
from kdstore import events, metrics
from kdstore import fence as fences
from kdstore.db import now
from kdstore.fence import Fence
from kdstore.jobs.status import change_status
from kdstore.tables import Attempt, Checkpoint, Job, JsonObject, Workspace
from kdstore.transitions import JobStatus

KEPT_CHECKPOINTS = 2


@dataclass(frozen=True)
class Claim:
    """A job that now belongs to this worker's attempt.

    `checkpoints` are newest first: use the first whose bytes match its sha256. `trained_seconds`
    is what all earlier attempts have trained, for `limits.max_seconds`; `request_id` is that of
    the request which created the job, for logs.
    """

    fence: Fence
    workspace_id: str
    kind: str
    spec: JsonObject
    wanted_device: WantedDevice
    checkpoints: tuple[Checkpoint, ...]
    trained_seconds: float
    request_id: str | None = None


def claim(
    session: Session, job_id: str, *, worker: str, device: str, lease_seconds: float
) -> Claim | None:
    """Take a queued job: one conditional UPDATE, so that only one of many claims succeeds.

    Opens the attempt's row. None means that there is nothing to do: the job runs already, has
    ended, is paused, or never was.
    """
    at = now(session)
    taken = change_status(
        session,
        job_id,
        from_status="queued",
        to_status="running",
        at=at,
        attempt_number=Job.attempt_number + 1,
        lease_expires_at=at + timedelta(seconds=lease_seconds),
        started_at=func.coalesce(Job.started_at, at),
    )
    if not taken:
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    session.execute(
        update(Workspace)
        .where(Workspace.id == job.workspace_id)
        .values(served_at=at)
        .execution_options(synchronize_session=False)
    )
    fence = Fence(job_id, job.attempt_number)
    session.add(
        Attempt(job_id=job_id, number=fence.attempt, worker=worker, device=device, started_at=at)
    )
    started = events.AttemptStarted(attempt=fence.attempt, worker=worker, device=device)
    events.append(session, job_id, started, at=at)
    return Claim(
        fence=fence,
        workspace_id=job.workspace_id,
        kind=job.kind,
        spec=job.spec,
        wanted_device=job.wanted_device,
        checkpoints=_checkpoints(session, job_id),
        trained_seconds=_trained_seconds(session, job_id),
        request_id=events.creating_request(session, job_id),
    )


def heartbeat(
    session: Session,
    fence: Fence,
    *,
    lease_seconds: float,
    trained_seconds: float | None = None,
    progress: Progress | None = None,
) -> JobStatus:
    """Extend the lease by the database's clock, and say how far the attempt is.

    `trained_seconds` counts this attempt alone.

    Returns:
        The job's status: stop and confirm when it is `cancelling` or `pausing`.

    Raises:
        AttemptLost: the attempt no longer owns the job: kill the child, write nothing more.
    """
    values: dict[str, Any] = {"lease_expires_at": now(session) + timedelta(seconds=lease_seconds)}
    if progress is not None:
        values["progress"] = progress.model_dump(mode="json", exclude={"type"})
    owned = fences.write(session, fence, **values)
    if trained_seconds is not None:
        session.execute(
            update(Attempt)
            .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
            .values(trained_seconds=trained_seconds)
            .execution_options(synchronize_session=False)
        )
    return owned.status


def set_stage(session: Session, fence: Fence, started: StageStarted) -> None:
    """Say which stage the attempt has entered.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    owned = fences.write(session, fence, stage=started.stage)
    entered = events.StageEntered(
        attempt=fence.attempt,
        stage=started.stage,
        run=started.run,
        training_stage=started.training_stage,
        step=started.step,
    )
    events.append(session, fence.job_id, entered, at=owned.at)


def set_spec(session: Session, fence: Fence, spec: AnyJob) -> None:
    """Keep the spec with what a run has decided: pairs of layers that no torch-free part knows.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    fences.write(session, fence, spec=spec.model_dump(mode="json"))


def set_progress(session: Session, fence: Fence, progress: Progress) -> None:
    """Keep the newest progress on the job.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    fences.write(session, fence, progress=progress.model_dump(mode="json", exclude={"type"}))


def resumed(session: Session, fence: Fence, resumption: Resumed | None) -> tuple[str, ...]:
    """Say where training goes on; None: from the very start.

    Metric points after that are forgotten, since the attempt writes them again, and so are the
    checkpoints after it, which were damaged or could not be read. Call it once, before the
    attempt's first metrics.

    Returns:
        Keys of the objects that no row refers to any more: delete them after the commit.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    owned = fences.write(session, fence)
    run, step = (resumption.run, resumption.step) if resumption else (None, 0)
    metrics.rewind(session, fence.job_id, run=run, step=step)
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
        .values(resumed_from_step=resumption.total_steps if resumption else None)
        .execution_options(synchronize_session=False)
    )
    event = events.AttemptResumed(
        attempt=fence.attempt,
        run=run,
        training_stage=resumption.training_stage if resumption else None,
        step=step,
    )
    events.append(session, fence.job_id, event, at=owned.at)
    total_steps = resumption.total_steps if resumption else 0
    passed_over = [
        checkpoint
        for checkpoint in _checkpoints(session, fence.job_id)
        if checkpoint.attempt_number < fence.attempt and checkpoint.total_steps > total_steps
    ]
    return _forget(session, passed_over)


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint whose object is whole in object storage."""

    run: Run
    training_stage: str
    step: int
    total_steps: int
    object_key: str
    sha256: str
    size_bytes: int


def checkpointed(session: Session, fence: Fence, checkpoint: NewCheckpoint) -> tuple[str, ...]:
    """Record a stored checkpoint; the newest two are kept.

    Returns:
        Keys of the objects that no row refers to any more: delete them after the commit.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    owned = fences.write(session, fence)
    session.add(
        Checkpoint(
            job_id=fence.job_id,
            total_steps=checkpoint.total_steps,
            attempt_number=fence.attempt,
            run=checkpoint.run,
            step=checkpoint.step,
            object_key=checkpoint.object_key,
            sha256=checkpoint.sha256,
            size_bytes=checkpoint.size_bytes,
            created_at=owned.at,
        )
    )
    event = events.CheckpointStored(
        attempt=fence.attempt,
        run=checkpoint.run,
        training_stage=checkpoint.training_stage,
        step=checkpoint.step,
        total_steps=checkpoint.total_steps,
    )
    events.append(session, fence.job_id, event, at=owned.at)
    return _forget(session, _checkpoints(session, fence.job_id)[KEPT_CHECKPOINTS:])


def forget_checkpoints(session: Session, *, job_id: str) -> tuple[str, ...]:
    """Forget the checkpoints of a job that needs none any more.

    Returns:
        Keys of the objects that no row refers to any more: delete them after the commit.
    """
    return _forget(session, _checkpoints(session, job_id))


def checkpoint_key(fence: Fence, *, total_steps: int) -> str:
    """Name the object of a checkpoint: no two attempts ever write the same key."""
    return f"jobs/{fence.job_id}/checkpoints/{fence.attempt:04}-{total_steps:012}"


def _checkpoints(session: Session, job_id: str) -> tuple[Checkpoint, ...]:
    statement = (
        select(Checkpoint)
        .where(Checkpoint.job_id == job_id)
        .order_by(Checkpoint.total_steps.desc(), Checkpoint.attempt_number.desc())
    )
    return tuple(session.scalars(statement))


def _forget(session: Session, checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    for checkpoint in checkpoints:
        session.delete(checkpoint)
    session.flush()
    return tuple(checkpoint.object_key for checkpoint in checkpoints)


def _trained_seconds(session: Session, job_id: str) -> float:
    total = select(func.coalesce(func.sum(Attempt.trained_seconds), 0.0))
    return session.execute(total.where(Attempt.job_id == job_id)).scalar_one()
