"""How an attempt ends: finished, failed, cancelled, paused, or handed back."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from kdstore.artifacts import NewArtifact
from kdstore.fence import Fence
from kdstore.jobs.status import JobError
from kdstore.tables import ExitCause, JsonObject
from kdstore.transitions import JobStatus


def finish(
    session: Session,
    fence: Fence,
    *,
    result: JsonObject,
    report: JsonObject,
    artifacts: Sequence[NewArtifact],
) -> JobStatus:
    """End the job as succeeded, with result, report and artifacts in the same transaction.

    Returns:
        `succeeded`; or `cancelled` if a person cancelled it before: then nothing is recorded,
        and the caller deletes the artifacts' objects.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    raise NotImplementedError


def fail(session: Session, fence: Fence, *, error: JobError, exit_cause: ExitCause) -> JobStatus:
    """End the attempt by an error. A user's error fails the job; a system's is tried again.

    Returns:
        `failed`; or, when the system is at fault and attempts are left, `queued` (publish it
        after the commit) or `paused` if it was to pause; or `cancelled` if it was to be.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    raise NotImplementedError


def release(session: Session, fence: Fence) -> JobStatus:
    """Hand the job back because the worker shuts down; this is no failure of the attempt.

    Returns:
        `queued` (publish it after the commit); or `cancelled` or `paused` if it was to be.

    Raises:
        AttemptLost: the attempt no longer owns the job.
    """
    raise NotImplementedError


def confirm_cancel(session: Session, fence: Fence) -> None:
    """Say that the work has stopped, as `cancelling` asked: the job is cancelled.

    Raises:
        AttemptLost: the attempt no longer owns the job.
        InvalidTransition: nobody asked to cancel it.
    """
    raise NotImplementedError


def confirm_pause(session: Session, fence: Fence) -> JobStatus:
    """Say that the work has stopped with a checkpoint, as `pausing` asked.

    Returns:
        `paused`; or `cancelled` if a person cancelled it meanwhile.

    Raises:
        AttemptLost: the attempt no longer owns the job.
        InvalidTransition: nobody asked to pause it.
    """
    raise NotImplementedError
