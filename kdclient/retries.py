"""When a request is sent again, and after what wait."""

import random
from collections.abc import Callable
from dataclasses import dataclass

# The answer says that nothing was done and that later may be better.
BUSY_STATUSES = frozenset({429, 503})
# A proxy gave up; the service may or may not have acted.
GATEWAY_STATUSES = frozenset({502, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter: waits double from `first_wait_seconds`, up to a longest.

    A server that asks for more than `longest_wait_seconds` (Retry-After) is not waited for.
    """

    max_attempts: int = 6
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 30.0
    jitter: Callable[[], float] = random.random

    def wait_seconds(self, attempt: int, *, retry_after_seconds: float | None) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1); None to give up."""
        if attempt >= self.max_attempts:
            return None
        if retry_after_seconds is not None:
            waits = retry_after_seconds <= self.longest_wait_seconds
            return retry_after_seconds if waits else None
        full = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** (attempt - 1))
        return full * (0.5 + 0.5 * self.jitter())


NO_RETRIES = RetryPolicy(max_attempts=1)


def may_repeat(status: int, *, repeatable: bool) -> bool:
    """Tell whether a request with this answer may be sent again.

    `repeatable`: doing it twice is the same as doing it once.
    """
    return status in BUSY_STATUSES or (repeatable and status in GATEWAY_STATUSES)
