"""The spare: one child that has loaded torch already and waits, so that jobs start at once."""

import threading
import time
from collections.abc import Callable

from worker.child import Child, ChildGone, ChildSpawner
from worker.messages import Ready

_POLL_SECONDS = 0.2


class SpareFailed(Exception):
    """A child that trains cannot be started here: torch or the device is not usable."""

    def __init__(self) -> None:
        super().__init__(
            "The training process could not be started; its output is in the log above. "
            "Check POTSTILL_DEVICE and the installation of torch."
        )


class SpareTrainer:
    """Keeps at most one idle child ready to train."""

    def __init__(self, spawner: ChildSpawner, *, device: str) -> None:
        self._spawner = spawner
        self._device = device
        self._lock = threading.Lock()
        self._idle: Child | None = None

    def start(self) -> None:
        """Start a spare, unless one lives."""
        with self._lock:
            if self._idle is None or not self._idle.is_alive():
                self._discard()
                self._idle = self._spawn()

    def take(self) -> Child:
        """Hand out the spare, or a new child if there is none; it may still be loading."""
        with self._lock:
            if self._idle is not None and self._idle.is_alive():
                child, self._idle = self._idle, None
                return child
            self._discard()
        return self._spawn()

    def wait_until_ready(
        self, *, timeout_seconds: float, should_stop: Callable[[], bool]
    ) -> Ready | None:
        """Wait for the spare to have loaded, and return what it says of its device.

        None when `should_stop` said so before.

        Raises:
            SpareFailed: it ended, or did not load in time.
        """
        with self._lock:
            child = self._idle
        give_up_at = time.monotonic() + timeout_seconds
        try:
            while child is not None and time.monotonic() < give_up_at:
                if should_stop():
                    return None
                message = child.receive(timeout_seconds=_POLL_SECONDS)
                if isinstance(message, Ready):
                    return message
        except ChildGone:
            pass
        raise SpareFailed

    def close(self) -> None:
        """End the spare."""
        with self._lock:
            self._discard()

    def _spawn(self) -> Child:
        return self._spawner.spawn("worker.trainer_process", "--device", self._device)

    def _discard(self) -> None:
        if self._idle is not None:
            self._idle.kill()
            self._idle.wait()
            self._idle = None
