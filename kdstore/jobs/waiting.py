"""Since when a queued job waits for a worker; its age in the queue may be greater."""

from typing import Final

from sqlalchemy import func

from kdstore.tables import Job

WAITING_SINCE: Final = func.coalesce(Job.claimable_at, Job.queued_at)
"""Made by SQL: since it was sent into the queue, or since an attempt gave it back."""
