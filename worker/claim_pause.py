"""The pause of a worker that is itself at fault, lest it fails one job after another."""

import logging
import threading
from typing import Final

from kdstore.jobs import ExitCause, backoff_seconds

_log = logging.getLogger(__name__)

WORKERS_OWN: Final[frozenset[ExitCause]] = frozenset({"disk_full", "system_error"})
"""What may lie in the worker itself: a full disk, a broken device, a damaged installation."""


class ClaimPause:
    """Longer with each failure of the worker's own, until a job succeeds here. For one thread."""

    def __init__(self) -> None:
        self._num_failures = 0
        self._is_due = False

    def failed(self) -> None:
        """Note a failure of the worker's own: a pause is due."""
        self._num_failures += 1
        self._is_due = True

    def succeeded(self) -> None:
        """Note that the worker can do its work."""
        self._num_failures = 0

    def wait(self, *, first_seconds: float, stopping: threading.Event) -> None:
        """Wait if a pause is due; returns at once when stopping.

        It is longer than `first_seconds`, which the job waits: another worker may take it first.
        """
        if not self._is_due:
            return
        self._is_due = False
        seconds = backoff_seconds(first_seconds, num_failures=self._num_failures + 1)
        _log.warning("pausing after a failure of this worker", extra={"detail": f"{seconds:g} s"})
        stopping.wait(seconds)
