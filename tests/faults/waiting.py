"""Waiting for what other processes bring about, on machines however slow."""

import time
from collections.abc import Callable

_TIMEOUT_SECONDS = 300.0
_POLL_SECONDS = 0.02


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Wait until `happened`; an error that says `what` was waited for if it never does."""
    give_up_at = time.monotonic() + _TIMEOUT_SECONDS
    while not happened():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {_TIMEOUT_SECONDS:.0f} seconds: {what}")
        time.sleep(_POLL_SECONDS)
