"""The sweeper's part: jobs whose worker went silent, and jobs whose message was lost."""

from dataclasses import dataclass

from sqlalchemy.orm import Session


@dataclass(frozen=True)
class SweptJobs:
    """What one sweep did. Publish `to_publish` after the commit: requeued and stale ones."""

    to_publish: tuple[str, ...]
    requeued: tuple[str, ...]
    failed: tuple[str, ...]
    cancelled: tuple[str, ...]
    paused: tuple[str, ...]


def sweep(session: Session, *, republish_seconds: float, limit: int = 100) -> SweptJobs:
    """Close attempts whose lease has run out by the database's clock, and find stale messages.

    A silent attempt is closed as `lost`. Its job is queued again, or fails as
    `attempts_exhausted`; one that was `cancelling` is cancelled, one that was `pausing` paused.
    Of the next `limit` jobs in the queue (by priority, then age), those whose message was sent
    more than `republish_seconds` ago are to be published again.
    """
    raise NotImplementedError
