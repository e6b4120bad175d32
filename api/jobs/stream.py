"""A job's events as a live stream (server-sent events) that goes on where a client left off."""

import random
import time
from collections.abc import AsyncIterator, Iterator

import anyio
from fastapi.sse import KEEPALIVE_COMMENT
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool

from api.jobs.glances import EVENTS_AT_ONCE, Glance, Place
from api.state import AppState
from kdstore import keys
from kdstore.db import reading
from kdstore.errors import KeyInvalid, NotFound
from kdstore.keys import Principal

_KEY_CHECK_SECONDS = 30.0


async def stream(
    state: AppState, principal: Principal, job_id: str, *, after: int
) -> AsyncIterator[bytes]:
    """Send every event after a number, and progress as it changes, until the job has ended.

    Each event carries its number as id; progress has none, since it is not history. A stream also
    ends when the server stops, when its key is revoked, or when the database cannot be reached:
    the client then comes back with Last-Event-ID.
    """
    teller = _Teller(after=after, heartbeat_seconds=state.pace.heartbeat_seconds)
    # Streams that began together, as after a restart, are not to ask all at once.
    checked_at = time.monotonic() - random.uniform(0, _KEY_CHECK_SECONDS)  # noqa: S311
    while not state.stopping.is_set():
        try:
            if time.monotonic() - checked_at > _KEY_CHECK_SECONDS:
                checked_at = time.monotonic()
                await run_in_threadpool(_check_key, state, principal)
            place = Place(principal.workspace_id, job_id, teller.after)
            found = await state.glances.at(place)
        except (OperationalError, NotFound, KeyInvalid):
            return
        for message in teller.tell(found):
            yield message
        if found.is_over:
            return
        if len(found.events) < EVENTS_AT_ONCE:
            # Streams that share a look would from then on all wake at one moment.
            await anyio.sleep(state.pace.poll_seconds * random.uniform(0.8, 1.2))  # noqa: S311


class _Teller:
    """Turns what is found into messages, each thing told once."""

    def __init__(self, *, after: int, heartbeat_seconds: float) -> None:
        self.after = after
        self._heartbeat_seconds = heartbeat_seconds
        self._progress: bytes | None = None
        self._spoke_at = time.monotonic()

    def tell(self, found: Glance) -> Iterator[bytes]:
        """Give the messages of one glance: events, progress if it changed, or a heartbeat."""
        for event in found.events:
            self.after = event.number
            yield event.data
        told_progress = self._progress
        if found.progress is not None and not found.is_over:
            self._progress = found.progress
        if self._progress is not None and self._progress != told_progress:
            yield self._progress
        elif not found.events:
            if time.monotonic() - self._spoke_at < self._heartbeat_seconds:
                return
            yield KEEPALIVE_COMMENT
        self._spoke_at = time.monotonic()


def _check_key(state: AppState, principal: Principal) -> None:
    """See that the key has not been revoked meanwhile. Raises KeyInvalid or NotFound."""
    with reading(state.session_factory) as session:
        key = keys.get(session, workspace_id=principal.workspace_id, key_id=principal.key_id)
        if key.revoked_at is not None:
            raise KeyInvalid
