"""One child reads one stranger's file: its answer, or what its silence means."""

import signal

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
from worker.undecided import DISK_FULL, Undecided, suspect

_BASE_SECONDS = 600.0
_BYTES_PER_SECOND = 5_000_000  # decoding many small images, slowly
_CPU_FACTOR = 4
_GIBIBYTE = 2**30
_MEMORY_PER_BYTE = 5  # weights are read, copied into the network, and written again
_MAX_FILE_BYTES = 32 * _GIBIBYTE
_RECEIVE_SECONDS = 1.0


Answer = ModelAccepted | DatasetAccepted | Rejection | Undecided


def limits_for(size_bytes: int) -> IngestLimits:
    """Bound what reading a file of this size may take."""
    wall_seconds = _BASE_SECONDS + size_bytes / _BYTES_PER_SECOND
    return IngestLimits(
        memory_bytes=2 * _GIBIBYTE + _MEMORY_PER_BYTE * size_bytes,
        file_bytes=_MAX_FILE_BYTES,
        cpu_seconds=int(_CPU_FACTOR * wall_seconds),
        wall_seconds=wall_seconds,
    )


def read_in_child(runtime: Runtime, order: IngestOrder, watch: ReaderWatch) -> Answer:
    """Have a fresh child read the file. When this returns or raises, the child is gone."""
    child = runtime.spawner.spawn("worker.ingest_process")
    watch.attach(child, max_seconds=order.limits.wall_seconds)
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
    return suspect("reader_killed") if status == -signal.SIGKILL else _CRASHED


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
            case Failed(code=code):
                answer = Undecided(code) if code == DISK_FULL else suspect(code)
            case _:
                pass  # nothing that a reader has to say


_TIMED_OUT = Rejection(
    code="validation_timed_out",
    message="Reading this file took far longer than a file of its size may take. Save it anew, "
    "with fewer or smaller images, or without anything but the weights.",
)
_CRASHED = Rejection(
    code="validation_failed",
    message="This file made its reader crash. Save it anew and upload it again; report it if that "
    "does not help.",
)
