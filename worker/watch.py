"""The watch over one attempt: keeps its lease, sees requests to stop, and ends its child."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from kdstore import jobs
from kdstore.db import reading, transaction
from kdstore.errors import AttemptLost, JobNotFound
from kdstore.log import thread_with_log_fields
from worker.child import Child
from worker.retries import DATABASE_AWAY
from worker.runtime import Runtime
from worker.stopping import WorkStopped

_log = logging.getLogger(__name__)

StopReason = Literal["lost", "cancelled", "paused", "shutdown", "timed_out"]

_TICK_SECONDS = 0.05
_POLL_SECONDS = 0.5


class AttemptWatch:
    """A thread beside an attempt; use it in `with`.

    Reads the job's status twice a second and extends the lease at every heartbeat. When the
    attempt must stop, its child is asked to (SIGTERM) and killed after the grace; when the
    attempt is lost, it is killed at once.
    """

    def __init__(
        self,
        runtime: Runtime,
        claim: jobs.Claim,
        *,
        max_seconds: float,
        trained_seconds: Callable[[], float],
    ) -> None:
        self._runtime = runtime
        self._claim = claim
        self._trained_seconds = trained_seconds
        self._max_seconds = max_seconds
        self._deadline = float("inf")
        self._next_look = self._next_heartbeat = time.monotonic()
        self._status: jobs.JobStatus = "running"
        self._is_lost = False
        self._child: Child | None = None
        self._asked_at: float | None = None
        self._closed = threading.Event()
        self._thread = thread_with_log_fields(self._run, name="attempt-watch")

    def __enter__(self) -> Self:
        self._runtime.metrics.attempt_began()
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
        self._runtime.metrics.attempt_over()

    def attach(self, child: Child) -> None:
        """Watch over this child; its `max_seconds` run from now on."""
        self._deadline = time.monotonic() + self._max_seconds
        self._child = child

    @property
    def reason(self) -> StopReason | None:
        """Why the attempt must stop; None while it may go on."""
        if self._is_lost:
            return "lost"
        if self._status == "cancelling":
            return "cancelled"
        if self._status == "pausing":
            return "paused"
        if self._runtime.stopping.is_set():
            return "shutdown"
        return "timed_out" if time.monotonic() > self._deadline else None

    def check(self) -> None:
        """Raise if the attempt must stop.

        Raises:
            WorkStopped: `reason` says why.
        """
        if self.reason is not None:
            raise WorkStopped

    def check_delivery(self) -> None:
        """Raise if what is trained may not be delivered: a shutdown leaves it the grace for that.

        Raises:
            WorkStopped: `reason` says why.
        """
        if self.reason in ("lost", "cancelled", "paused") or self._runtime.abandon.is_set():
            raise WorkStopped

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            if not self._closed.is_set():
                # An error that nobody foresaw: without its watch an attempt must not go on.
                self._is_lost = True
                self._stop_child()

    def _watch(self) -> None:
        while not self._closed.wait(_TICK_SECONDS):
            try:
                self._look()
            except (AttemptLost, JobNotFound):
                self._is_lost = True
            except DATABASE_AWAY as error:
                # Training goes on: nobody can take the job while the database is away, and if
                # only this worker cannot reach it, the fence refuses what it writes later.
                _log.warning("database away", extra={"detail": type(error).__name__})
            self._stop_child()

    def _look(self) -> None:
        now = time.monotonic()
        if self._is_lost or now < self._next_look:
            return
        heartbeat_seconds = self._runtime.settings.heartbeat_seconds
        self._next_look = now + min(_POLL_SECONDS, heartbeat_seconds)
        if now < self._next_heartbeat:
            self._poll()
            return
        with transaction(self._runtime.session_factory) as session:
            self._status = jobs.heartbeat(
                session,
                self._claim.fence,
                lease_seconds=self._runtime.settings.lease_seconds,
                trained_seconds=self._trained_seconds(),
            )
        self._runtime.metrics.heartbeat_succeeded()
        # One that failed is due at the next look: leases run on while the database is away.
        self._next_heartbeat = now + heartbeat_seconds

    def _poll(self) -> None:
        fence = self._claim.fence
        with reading(self._runtime.session_factory) as session:
            job = jobs.get(session, workspace_id=self._claim.workspace_id, job_id=fence.job_id)
        if job.attempt_number != fence.attempt or job.status not in jobs.OWNED:
            raise AttemptLost(fence.job_id, fence.attempt)
        self._status = job.status

    def _stop_child(self) -> None:
        reason, child = self.reason, self._child
        if reason is None or child is None:
            return
        now = time.monotonic()
        if reason == "lost":
            child.kill()
        elif self._asked_at is None:
            self._asked_at = now
            _log.info("asking child to stop", extra={"pid": child.pid, "cause": reason})
            child.terminate()
        elif now > self._asked_at + self._runtime.settings.stop_grace_seconds:
            child.kill()
