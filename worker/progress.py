"""The relay: what the child tells goes into the database in order, a few times a second."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy.orm import Session

from kdcore.progress import (
    CheckpointSaved,
    LogLine,
    MetricPoint,
    Metrics,
    Progress,
    Resumed,
    RunEvent,
    SpecResolved,
    StageStarted,
)
from kdcore.report import Run
from kdstore import jobs, logs, metrics
from kdstore.errors import StorageError
from worker.checkpoint_uploads import CheckpointUploads, HeldCheckpoint
from worker.retries import write
from worker.runtime import Runtime

_log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.3
# A transaction holds the job's row: one of this many takes a fraction of a second.
_EVENTS_AT_ONCE = 1000
# What has no order among its kinds, only within each.
_UNORDERED = (Metrics, LogLine, Progress)


class TrainedTime:
    """How long the attempt has trained: from the first step's stage to evaluation."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._ended: float | None = None

    def enter(self, stage: str) -> None:
        """Note that a stage begins."""
        is_training = stage in ("training", "control")
        if is_training and self._started is None:
            self._started = time.monotonic()
        if not is_training and self._started is not None and self._ended is None:
            self._ended = time.monotonic()

    def seconds(self) -> float:
        """Seconds so far."""
        if self._started is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._started


class Relay:
    """Takes events as they come, and writes them fenced, in order, in few transactions.

    A checkpoint is handed to the uploads only when everything told before it is committed.
    """

    def __init__(
        self,
        runtime: Runtime,
        fence: jobs.Fence,
        *,
        uploads: CheckpointUploads,
        trained: TrainedTime,
    ) -> None:
        self._runtime = runtime
        self._fence = fence
        self._uploads = uploads
        self._trained = trained
        self._events: list[RunEvent] = []
        self._checkpoint: HeldCheckpoint | None = None
        self._last_flush = time.monotonic()
        self._num_lines = 0  # of the log, written by this attempt
        # A later attempt that begins without a checkpoint trains from the start, and writes
        # every metric again: what an earlier one wrote goes first.
        self._may_start_anew = fence.attempt > 1

    def take(self, event: RunEvent) -> None:
        """Take one event."""
        if isinstance(event, CheckpointSaved):
            self._hold(event)
            return
        if isinstance(event, StageStarted):
            self._trained.enter(event.stage)
        if isinstance(event, Resumed):
            self._may_start_anew = False
        self._events.append(event)

    def _hold(self, saved: CheckpointSaved) -> None:
        """Keep the newest checkpoint; one that it follows within a flush is not worth an upload."""
        held = self._uploads.hold(saved)
        if held is None:
            return
        if self._checkpoint is not None:
            self._checkpoint.path.unlink(missing_ok=True)
        self._checkpoint = held

    def flush_if_due(self) -> None:
        """Write what has come, if the last flush is long enough ago."""
        if time.monotonic() - self._last_flush >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has come.

        Raises:
            AttemptLost: the attempt no longer owns the job; what was not written yet is not.
        """
        events, self._events = self._events, []
        for start in range(0, len(events), _EVENTS_AT_ONCE):
            self._flush_some(events[start : start + _EVENTS_AT_ONCE])
        if self._checkpoint is not None:
            self._uploads.offer(self._checkpoint)
            self._checkpoint = None
        self._last_flush = time.monotonic()

    def _flush_some(self, events: Sequence[RunEvent]) -> None:
        unreferred = write(
            self._runtime.session_factory,
            lambda session: self._write(session, events),
            abandon=self._runtime.abandon,
        )
        if any(isinstance(event, Metrics) for event in events):
            self._may_start_anew = False
        self._num_lines += sum(isinstance(event, LogLine) for event in events)
        for key in unreferred:
            with contextlib.suppress(StorageError):
                self._runtime.objects.delete(key)

    def _write(self, session: Session, events: Sequence[RunEvent]) -> list[str]:
        """Write events; give the keys of objects that no row refers to any more."""
        starts_anew = self._may_start_anew
        num_lines = self._num_lines
        unreferred: list[str] = []
        for (_, run), group in groupby(_sorted_by_kind(events), key=_kind):
            batch = list(group)
            if starts_anew and isinstance(batch[0], Metrics):
                unreferred += jobs.resumed(session, self._fence, None)
                starts_anew = False
            match batch[-1]:
                case Resumed() as resumption:
                    unreferred += jobs.resumed(session, self._fence, resumption)
                case LogLine():
                    lines = [event for event in batch if isinstance(event, LogLine)]
                    logs.append(session, self._fence, lines, num_before=num_lines)
                    num_lines += len(lines)
                case _:
                    self._write_batch(session, run, batch)
        return unreferred

    def _write_batch(self, session: Session, run: Run | None, batch: Sequence[RunEvent]) -> None:
        """Write consecutive events of one kind."""
        fence = self._fence
        match batch[-1]:
            case StageStarted():
                for event in batch:
                    if isinstance(event, StageStarted):
                        jobs.set_stage(session, fence, event)
            case SpecResolved() as resolved:
                jobs.set_spec(session, fence, resolved.spec)
            case Progress() as newest:
                jobs.set_progress(session, fence, newest)
            case Metrics() if run is not None:
                metrics.append(session, fence, run=run, points=_points(batch))


def _sorted_by_kind(events: Sequence[RunEvent]) -> Iterator[RunEvent]:
    """Bring events of a kind together, as far as the order of kinds means nothing.

    A network that trains an epoch in milliseconds tells metrics and lines by turns, a hundred times
    a second; one statement for each would hold the job's row longer than its lease.
    """
    for is_unordered, group in groupby(events, key=lambda event: isinstance(event, _UNORDERED)):
        together = list(group)
        yield from sorted(together, key=_kind) if is_unordered else together


def _kind(event: RunEvent) -> tuple[str, Run | None]:
    # Only metrics are compared by their run, and all of them have one.
    return event.type, event.run if isinstance(event, Metrics) else None


def _points(batch: Sequence[RunEvent]) -> list[MetricPoint]:
    return [point for event in batch if isinstance(event, Metrics) for point in event.points]
