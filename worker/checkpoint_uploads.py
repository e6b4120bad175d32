"""Checkpoints on their way to object storage: in a thread of their own, the newest first."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from kdcore.progress import CheckpointSaved
from kdstore import jobs
from kdstore.errors import AttemptLost, KdstoreError, StorageUnavailable
from kdstore.log import thread_with_log_fields
from kdstore.tracing import Span
from worker.retries import write
from worker.runtime import Runtime
from worker.stopping import WorkStopped

_log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0
_POLL_SECONDS = 0.1
_END_SECONDS = 1.0


@dataclass(frozen=True)
class HeldCheckpoint:
    """A checkpoint file with a name of its own: the trainer may drop its own any time."""

    saved: CheckpointSaved
    path: Path


class CheckpointUploads:
    """Stores checkpoints and records each once its object is whole.

    Slow storage delays no metrics and no training: a checkpoint that waits is replaced by the
    next one.
    """

    def __init__(self, runtime: Runtime, fence: jobs.Fence, folder: Path) -> None:
        self._runtime = runtime
        self._fence = fence
        self._folder = folder
        folder.mkdir()
        self._changed = threading.Condition()
        self._waiting: HeldCheckpoint | None = None
        self._is_busy = False
        self._is_closed = False
        self._is_given_up = False
        self._thread = thread_with_log_fields(self._run, name="checkpoint-uploads")
        self._thread.start()

    def hold(self, saved: CheckpointSaved) -> HeldCheckpoint | None:
        """Keep a checkpoint's file; None if the trainer has dropped it already for newer ones."""
        path = self._folder / f"{saved.total_steps:012}"
        path.unlink(missing_ok=True)
        try:
            os.link(saved.path, path)
        except FileNotFoundError:
            return None
        return HeldCheckpoint(saved, path)

    def offer(self, checkpoint: HeldCheckpoint) -> None:
        """Upload this checkpoint next. Everything that comes before it has been recorded."""
        with self._changed:
            if self._waiting is not None:
                self._waiting.path.unlink(missing_ok=True)
            self._waiting = checkpoint
            self._changed.notify_all()

    def drain(
        self, *, timeout_seconds: float, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until the newest checkpoint is recorded, or given up, or `should_stop` says so."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self._waiting is not None or self._is_busy:
                left = deadline - time.monotonic()
                if left <= 0 or should_stop() or not self._thread.is_alive():
                    return
                self._changed.wait(min(left, _POLL_SECONDS))

    def close(self, *, timeout_seconds: float = 0.0) -> None:
        """Stop: what waits is dropped, what is on its way has so long, and ends at its next chunk.

        Storage that says nothing holds nobody up: the thread is left to it, and whatever it
        writes when the attempt is over, the fence refuses.
        """
        with self._changed:
            self._is_closed = True
            self._waiting = None
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        self._is_given_up = True
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while (checkpoint := self._next()) is not None:
            try:
                with self._span_of(checkpoint.saved):
                    self._store(checkpoint)
            except (AttemptLost, WorkStopped):
                return  # the watch has seen it, or sees it soon
            except (KdstoreError, SQLAlchemyError, OSError) as error:
                _log.warning("checkpoint not stored", extra=self._facts(type(error).__name__))
            finally:
                checkpoint.path.unlink(missing_ok=True)
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()

    def _next(self) -> HeldCheckpoint | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_closed)
            checkpoint, self._waiting = self._waiting, None
            self._is_busy = checkpoint is not None
            return checkpoint

    def _span_of(self, saved: CheckpointSaved) -> AbstractContextManager[Span]:
        return self._runtime.tracing.span(
            "upload checkpoint",
            run=saved.run,
            training_stage=saved.training_stage,
            step=saved.step,
            size_bytes=saved.size_bytes,
        )

    def _store(self, checkpoint: HeldCheckpoint) -> None:
        saved = checkpoint.saved
        key = jobs.checkpoint_key(self._fence, total_steps=saved.total_steps)
        self._upload(key, checkpoint.path)
        stored = jobs.NewCheckpoint(
            run=saved.run,
            training_stage=saved.training_stage,
            step=saved.step,
            total_steps=saved.total_steps,
            object_key=key,
            sha256=saved.sha256,
            size_bytes=saved.size_bytes,
        )
        runtime = self._runtime
        try:
            unreferred = write(
                runtime.session_factory,
                lambda session: jobs.checkpointed(session, self._fence, stored),
                abandon=runtime.abandon,
            )
        except AttemptLost:
            runtime.objects.delete(key)
            raise
        _log.info("checkpoint stored", extra=self._facts(f"step {saved.total_steps}"))
        for old_key in unreferred:
            runtime.objects.delete(old_key)

    def _upload(self, key: str, path: Path) -> None:
        """Upload with back-off, until a newer checkpoint makes this one worthless."""
        delay = _FIRST_DELAY_SECONDS
        while True:
            try:
                return self._runtime.objects.put_file(key, path, check=self._check)
            except StorageUnavailable:
                with self._changed:
                    is_worthless = self._changed.wait_for(
                        lambda: self._waiting is not None or self._is_closed, timeout=delay
                    )
                if is_worthless or self._runtime.abandon.is_set():
                    raise
                delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _check(self) -> None:
        if self._is_given_up or self._runtime.abandon.is_set():
            raise WorkStopped

    def _facts(self, detail: str) -> dict[str, object]:
        return {"job_id": self._fence.job_id, "attempt": self._fence.attempt, "detail": detail}
