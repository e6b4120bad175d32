"""A worker's pause grows with failures of its own, and is over once a job succeeds."""

import threading

from worker.claim_pause import ClaimPause


class Waits(threading.Event):
    """Keeps how long it was waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


def waits_after(*happenings: str) -> list[float | None]:
    """How long a worker pauses that fails or succeeds so, one attempt after the other."""
    pause, waits = ClaimPause(), Waits()
    for happening in happenings:
        getattr(pause, happening)()
        pause.wait(first_seconds=10.0, stopping=waits)
    return waits.seconds


def test_first_pause_is_longer_than_that_of_the_job() -> None:
    assert waits_after("failed") == [20.0]


def test_pause_grows_up_to_a_bound() -> None:
    assert waits_after(*["failed"] * 8) == [20, 40, 80, 160, 320, 640, 640, 640]


def test_success_needs_no_pause_and_ends_the_growth() -> None:
    assert waits_after("failed", "failed", "succeeded", "failed") == [20, 40, 20]


def test_pause_is_made_once() -> None:
    pause, waits = ClaimPause(), Waits()
    pause.failed()
    for _ in range(2):
        pause.wait(first_seconds=10.0, stopping=waits)
    assert waits.seconds == [20.0]


def test_worker_that_stops_does_not_wait() -> None:
    pause, stopping = ClaimPause(), threading.Event()
    pause.failed()
    stopping.set()
    pause.wait(first_seconds=3600.0, stopping=stopping)
