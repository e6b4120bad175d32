"""Work without a knock: a worker that is idle looks for jobs whose message went astray."""

import logging
import threading
from collections.abc import Callable

from kdstore import jobs
from kdstore.db import reading
from worker.runtime import Runtime
from worker.slots import Slot

_log = logging.getLogger(__name__)

# A job's own message gets this many sweeps to arrive.
_PATIENCE_SWEEPS = 2


class SelfService:
    """Starts the next job in the slot while it is free, without asking the broker.

    So queued jobs run while the broker is away, and a job whose message came to a worker that
    could not serve it waits no longer than a few sweeps.
    """

    def __init__(self, runtime: Runtime, slot: Slot, take_next: Callable[[], None]) -> None:
        self._runtime = runtime
        self._slot = slot
        self._take_next = take_next
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Start a job if one waits that this worker can serve; return at once."""
        runtime = self._runtime
        if self._slot.is_taken or runtime.stopping.is_set():
            return
        patience_seconds = _PATIENCE_SWEEPS * runtime.settings.sweep_seconds
        with reading(runtime.session_factory) as session:
            is_waiting = jobs.is_waiting(
                session, runtime.capacity, older_than_seconds=patience_seconds
            )
        if is_waiting:
            self._thread = threading.Thread(target=self._run, name="self-service", daemon=True)
            self._thread.start()

    def join(self, *, timeout_seconds: float) -> bool:
        """Wait for the job to end that was started here; False if it has not."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        with self._slot.try_taken() as is_ours:
            if is_ours:
                _log.info("taking a job without a message")
                self._take_next()
