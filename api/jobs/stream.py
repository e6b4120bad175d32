"""A job's events as a live stream (server-sent events) that goes on where a client left off."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anyio
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.jobs.history import describe_event
from api.jobs.schemas import EventRead, ProgressRead
from api.jobs.service import progress_of
from api.state import AppState
from kdstore import events, jobs, keys
from kdstore.db import reading
from kdstore.errors import KeyInvalid, NotFound
from kdstore.keys import Principal

_EVENTS_AT_ONCE = 200
_KEY_CHECK_SECONDS = 30.0


@dataclass(frozen=True)
class Glance:
    """What one look at the database found."""

    events: tuple[EventRead, ...]
    progress: ProgressRead | None
    is_over: bool
    """The job has ended and every event has been told."""


def glance(session: Session, *, workspace_id: str, job_id: str, after: int) -> Glance:
    """Look once: one query, and a second only when there are new events. Raises JobNotFound."""
    job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
    if job.event_count <= after:
        return Glance((), progress_of(job), is_over=job.status in jobs.TERMINAL)
    rows = events.read(
        session, workspace_id=workspace_id, job_id=job_id, after=after, limit=_EVENTS_AT_ONCE
    )
    found = tuple(describe_event(row) for row in rows)
    everything = bool(found) and found[-1].number >= job.event_count
    return Glance(found, progress_of(job), is_over=everything and job.status in jobs.TERMINAL)


async def stream(
    state: AppState, principal: Principal, job_id: str, *, after: int
) -> AsyncIterator[bytes]:
    """Send every event after a number, and progress as it changes, until the job has ended.

    Each event carries its number as id; progress has none, since it is not history. A stream also
    ends when the server stops, when its key is revoked, or when the database cannot be reached:
    the client then comes back with Last-Event-ID.
    """
    teller = _Teller(after=after, heartbeat_seconds=state.pace.heartbeat_seconds)
    checked_at = time.monotonic()
    while not state.stopping.is_set():
        try:
            is_due = time.monotonic() - checked_at > _KEY_CHECK_SECONDS
            found = await run_in_threadpool(
                _look, state, principal, job_id, after=teller.after, check_key=is_due
            )
            checked_at = time.monotonic() if is_due else checked_at
        except (OperationalError, NotFound, KeyInvalid):
            return
        for message in teller.tell(found):
            yield message
        if found.is_over:
            return
        if len(found.events) < _EVENTS_AT_ONCE:
            await anyio.sleep(state.pace.poll_seconds)


class _Teller:
    """Turns what is found into messages, each thing told once."""

    def __init__(self, *, after: int, heartbeat_seconds: float) -> None:
        self.after = after
        self._heartbeat_seconds = heartbeat_seconds
        self._progress: ProgressRead | None = None
        self._spoke_at = time.monotonic()

    def tell(self, found: Glance) -> Iterator[bytes]:
        """Give the messages of one glance: events, progress if it changed, or a heartbeat."""
        for event in found.events:
            self.after = event.number
            yield format_sse_event(
                id=str(event.number), event=event.type, data_str=event.model_dump_json()
            )
        told_progress = self._progress
        if found.progress is not None and not found.is_over:
            self._progress = found.progress
        if self._progress is not None and self._progress != told_progress:
            yield format_sse_event(event="progress", data_str=self._progress.model_dump_json())
        elif not found.events:
            if time.monotonic() - self._spoke_at < self._heartbeat_seconds:
                return
            yield KEEPALIVE_COMMENT
        self._spoke_at = time.monotonic()


def _look(
    state: AppState, principal: Principal, job_id: str, *, after: int, check_key: bool
) -> Glance:
    """Look once; from time to time also at the key, which may have been revoked meanwhile."""
    with reading(state.session_factory) as session:
        if check_key:
            key = keys.get(session, workspace_id=principal.workspace_id, key_id=principal.key_id)
            if key.revoked_at is not None:
                raise KeyInvalid
        return glance(session, workspace_id=principal.workspace_id, job_id=job_id, after=after)
