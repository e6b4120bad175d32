"""Since when this worker reaches the database: nobody is lost who could not say that he lives."""

import time

from kdstore.settings import Settings


class DatabaseContact:
    """Told of each sweep that reached the database, and of each that failed.

    A lease that ran out while the database was away says nothing: no worker could extend it. So
    whoever sweeps waits, once contact is there, until every worker has had time for a heartbeat.
    """

    def __init__(self, settings: Settings) -> None:
        self._settle_seconds = 2 * settings.heartbeat_seconds
        # A sweep that hangs for longer than this was cut off, though it did not fail.
        self._gap_seconds = settings.sweep_seconds + settings.lease_seconds / 2
        self._since: float | None = None
        self._last = 0.0

    @property
    def is_settled(self) -> bool:
        """Whether a silent worker may be held for lost."""
        return self._since is not None and self._last - self._since >= self._settle_seconds

    def made(self) -> None:
        """Note that the database has just answered."""
        now = time.monotonic()
        if self._since is None or now - self._last > self._gap_seconds:
            self._since = now
        self._last = now

    def lost(self) -> None:
        """Note that the database could not be reached."""
        self._since = None
