"""What ends a training, as the one message that the worker gets of it."""

import errno

from kdcore.errors import Diverged, KdcoreError, OutOfMemory, SpecInvalid, TimeLimitReached
from worker.messages import Failed, FailureCause

UNKNOWN = Failed(
    code="internal_error",
    message="Training failed for a reason that is not the job's. Retry it, and report it if it "
    "fails again.",
    fault="system",
    cause="system_error",
)
_DISK_FULL = Failed(
    code="disk_full",
    message="The worker's disk is full. The operator must free space; then retry the job.",
    fault="system",
    cause="disk_full",
)
_OUT_OF_MEMORY = Failed(
    code="out_of_memory",
    message="The training process may take no more memory. Take a smaller dataset, or ask the "
    "operator for more.",
    fault="user",
    cause="out_of_memory",
)
_CAUSES: tuple[tuple[type[KdcoreError], FailureCause], ...] = (
    (Diverged, "diverged"),
    (OutOfMemory, "out_of_memory"),
    (TimeLimitReached, "timed_out"),
)


def failure_of(error: Exception) -> Failed:
    """Say what an error means for the job; nothing of a library's text gets out."""
    if isinstance(error, KdcoreError):
        return _known(error)
    if isinstance(error, MemoryError):
        return _OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _DISK_FULL
    return UNKNOWN


def _known(error: KdcoreError) -> Failed:
    cause: FailureCause = "user_error" if error.fault == "user" else "system_error"
    for kind, known_cause in _CAUSES:
        if isinstance(error, kind):
            cause = known_cause
    pointer = getattr(error, "pointer", "")
    if isinstance(error, SpecInvalid):
        pointer = error.problems[0].pointer
    return Failed(
        code=error.code, message=error.message, fault=error.fault, cause=cause, pointer=pointer
    )
