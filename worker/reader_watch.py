"""The watch over one validation: keeps its lease, and ends a reader that may not go on."""

import logging
import threading
import time
from types import TracebackType
from typing import Literal, Self

from kdstore import validation
from kdstore.db import transaction
from kdstore.errors import ValidationLost
from kdstore.log import thread_with_log_fields
from worker.child import Child
from worker.retries import DATABASE_AWAY
from worker.runtime import Runtime
from worker.stopping import WorkStopped

_log = logging.getLogger(__name__)

ReaderStop = Literal["lost", "shutdown", "timed_out"]

_TICK_SECONDS = 0.1
_AWAY_SECONDS = 0.5


class ReaderWatch:
    """A thread beside a validation; use it in `with`. A reader keeps nothing: it is killed."""

    def __init__(self, runtime: Runtime, fence: validation.ValidationFence) -> None:
        self._runtime = runtime
        self._fence = fence
        self._deadline: float | None = None
        self._next_heartbeat = time.monotonic() + runtime.settings.heartbeat_seconds
        self._is_lost = False
        self._child: Child | None = None
        self._closed = threading.Event()
        self._thread = thread_with_log_fields(self._run, name="reader-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()

    def attach(self, child: Child, *, max_seconds: float) -> None:
        """Watch over this reader; its time runs from now on."""
        self._deadline = time.monotonic() + max_seconds
        self._child = child

    def detach(self) -> None:
        """The reader has answered: only the lease is watched from now on."""
        self._child = None
        self._deadline = None

    @property
    def reason(self) -> ReaderStop | None:
        """Why the reader must end; None while it may go on."""
        if self._is_lost:
            return "lost"
        if self._deadline is not None and time.monotonic() > self._deadline:
            return "timed_out"
        return "shutdown" if self._runtime.stopping.is_set() else None

    def check(self) -> None:
        """Raise if the validation must stop.

        Raises:
            WorkStopped: `reason` says why.
        """
        if self.reason is not None:
            raise WorkStopped

    def check_storing(self) -> None:
        """Raise if what was read may not be stored: a shutdown leaves it the grace for that.

        Raises:
            WorkStopped: `reason` says why.
        """
        if self._is_lost or self._runtime.abandon.is_set():
            raise WorkStopped

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            if not self._closed.is_set():
                # An error that nobody foresaw: without its watch a reader must not go on.
                self._is_lost = True
                self._stop_child()

    def _watch(self) -> None:
        while not self._closed.wait(_TICK_SECONDS):
            if time.monotonic() >= self._next_heartbeat and not self._is_lost:
                self._beat()
            self._stop_child()

    def _stop_child(self) -> None:
        child = self._child
        if self.reason is not None and child is not None:
            child.kill()

    def _beat(self) -> None:
        settings = self._runtime.settings
        self._next_heartbeat = time.monotonic() + settings.heartbeat_seconds
        try:
            with transaction(self._runtime.session_factory) as session:
                validation.heartbeat(session, self._fence, lease_seconds=settings.lease_seconds)
        except ValidationLost:
            self._is_lost = True
        except DATABASE_AWAY as error:
            self._next_heartbeat = time.monotonic() + _AWAY_SECONDS
            _log.warning("database away", extra={"detail": type(error).__name__})
