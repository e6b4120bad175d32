"""Slots: whether the one task of a lane runs, so that a busy worker takes no other's message."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TICK_SECONDS = 0.1


class Slot:
    """Room for one task at a time. The lane asks, the thread of the task tells."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._was_taken = threading.Event()

    @property
    def is_taken(self) -> bool:
        """Whether a task runs."""
        return self._lock.locked()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the slot for the length of a task that a message led to; wait until it is free."""
        with self._lock:
            self._was_taken.set()
            yield

    @contextmanager
    def try_taken(self) -> Iterator[bool]:
        """Hold the slot if it is free; False if it is not."""
        is_ours = self._lock.acquire(blocking=False)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._lock.release()

    def wait_out(self, stopping: threading.Event, *, start_seconds: float) -> None:
        """After a message has come: wait for its task to begin, and then for it to end.

        A message that leads to no task costs `start_seconds`. Returns at once when stopping.
        """
        self._was_taken.wait(start_seconds)
        self._was_taken.clear()
        self.wait_until_free(stopping)

    def wait_until_free(self, stopping: threading.Event) -> None:
        """Wait for the task that runs, if one does. Returns at once when stopping."""
        while self.is_taken and not stopping.wait(_TICK_SECONDS):
            pass
