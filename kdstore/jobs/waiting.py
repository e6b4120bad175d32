"""Which queued jobs wait for a worker, since when, and how long one waits for a failure to pass."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_

from kdstore.tables import Job

WAITING_SINCE: Final = func.coalesce(Job.claimable_at, Job.queued_at)
"""Made by SQL: since it was sent into the queue, or since it may be claimed again."""

_MOST_DOUBLINGS = 6


def is_claimable(at: datetime) -> ColumnElement[bool]:
    """Make the condition that a job is queued and need not wait for a failure to pass."""
    return and_(Job.status == "queued", or_(Job.claimable_at.is_(None), Job.claimable_at <= at))


def backoff_seconds(first_seconds: float, *, num_failures: int) -> float:
    """Give how long to wait after so many failures: doubled by each, up to 64 times the first."""
    return first_seconds * 2.0 ** min(num_failures - 1, _MOST_DOUBLINGS)
