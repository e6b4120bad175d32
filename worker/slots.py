"""Slots: whether the one task of a lane runs, so that a busy worker takes no other's message."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TICK_SECONDS = 0.1


class Slot:
    """Room for one task. The lane asks, the thread of the task tells."""

    def __init__(self) -> None:
        self._was_taken = threading.Event()
        self._is_free = threading.Event()
        self._is_free.set()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the slot for the length of a task."""
        self._is_free.clear()
        self._was_taken.set()
        try:
            yield
        finally:
            self._is_free.set()

    def wait_out(self, stopping: threading.Event, *, start_seconds: float) -> None:
        """After a message has come: wait for its task to begin, and then for it to end.

        A message that leads to no task costs `start_seconds`. Returns at once when stopping.
        """
        self._was_taken.wait(start_seconds)
        self._was_taken.clear()
        while not stopping.is_set() and not self._is_free.wait(_TICK_SECONDS):
            pass
