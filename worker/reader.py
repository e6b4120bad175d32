"""One child reads one stranger's file: its answer, or what its silence means."""

import signal
from dataclasses import dataclass

from kdstore.validation import Rejection
from worker.child import Child, ChildGone
from worker.messages import (
    DatasetAccepted,
    Failed,
    IngestLimits,
    IngestOrder,
    ModelAccepted,
    Rejected,
)
from worker.reader_watch import ReaderWatch
from worker.runtime import Runtime

MAX_SECONDS = 600.0
_GIBIBYTE = 2**30
_MEMORY_PER_BYTE = 5  # weights are read, copied into the network, and written again
_MAX_FILE_BYTES = 32 * _GIBIBYTE
_RECEIVE_SECONDS = 1.0


@dataclass(frozen=True)
class Undecided:
    """The file was not looked at to the end, and not through its own fault; `code` says why."""

    code: str


Answer = ModelAccepted | DatasetAccepted | Rejection | Undecided


def limits_for(size_bytes: int) -> IngestLimits:
    """Bound what reading a file of this size may take."""
    return IngestLimits(
        memory_bytes=2 * _GIBIBYTE + _MEMORY_PER_BYTE * size_bytes,
        file_bytes=_MAX_FILE_BYTES,
        cpu_seconds=int(MAX_SECONDS),
    )


def read_in_child(runtime: Runtime, order: IngestOrder, watch: ReaderWatch) -> Answer:
    """Have a fresh child read the file. When this returns or raises, the child is gone."""
    child = runtime.spawner.spawn("worker.ingest_process")
    watch.attach(child)
    try:
        child.order(order)
        answer = _listen(child)
    except BaseException:
        child.kill()
        raise
    finally:
        status = child.wait()
        reason = watch.reason
        watch.detach()
    if answer is not None:
        return answer
    if reason in ("lost", "shutdown"):
        return Undecided(reason)
    if reason == "timed_out" or status == -signal.SIGXCPU:
        return _TIMED_OUT
    # Killed, not crashed: perhaps for the memory that others take. It is tried again.
    return Undecided("reader_killed") if status == -signal.SIGKILL else _CRASHED


def _listen(child: Child) -> Answer | None:
    """Wait for the reader to end; return its last word."""
    answer: Answer | None = None
    while True:
        try:
            message = child.receive(timeout_seconds=_RECEIVE_SECONDS)
        except ChildGone:
            return answer
        match message:
            case ModelAccepted() | DatasetAccepted():
                answer = message
            case Rejected():
                answer = Rejection(message.code, message.message, message.details)
            case Failed():
                answer = Undecided(message.code)
            case _:
                pass  # nothing that a reader has to say


_TIMED_OUT = Rejection(
    code="validation_timed_out",
    message=f"Reading this file took more than {MAX_SECONDS:.0f} seconds. Make it smaller.",
)
_CRASHED = Rejection(
    code="validation_failed",
    message="This file made its reader crash. Save it anew and upload it again; report it if that "
    "does not help.",
)
