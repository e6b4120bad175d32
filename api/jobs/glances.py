"""What a look at a job's row and events finds, shared by all who wait for the same."""

import asyncio
import time
from dataclasses import dataclass

from fastapi.sse import format_sse_event
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.jobs.history import describe_event
from api.jobs.service import progress_of
from kdstore import events, jobs
from kdstore.db import SessionFactory, reading
from kdstore.tables import Event, Job

EVENTS_AT_ONCE = 200


@dataclass(frozen=True)
class Message:
    """An event as a stream sends it; its bytes are made once for all streams."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Glance:
    """What one look at the database found."""

    events: tuple[Message, ...]
    progress: bytes | None
    """As a stream sends it."""
    is_over: bool
    """The job has ended and every event has been told."""


@dataclass(frozen=True)
class Place:
    """What somebody waits for: news of a job of a workspace, after an event's number."""

    workspace_id: str
    job_id: str
    after: int


def glance(session: Session, place: Place) -> Glance:
    """Look once: one query, and a second only when there are new events. Raises JobNotFound."""
    job = jobs.get(session, workspace_id=place.workspace_id, job_id=place.job_id)
    if job.event_count <= place.after:
        return Glance((), _progress(job), is_over=job.status in jobs.TERMINAL)
    rows = events.read(
        session,
        workspace_id=place.workspace_id,
        job_id=place.job_id,
        after=place.after,
        limit=EVENTS_AT_ONCE,
    )
    found = tuple(_message(row) for row in rows)
    # A short page is all there is: the job was read first, and its history may be forgotten.
    everything = len(rows) < EVENTS_AT_ONCE or found[-1].number >= job.event_count
    return Glance(found, _progress(job), is_over=everything and job.status in jobs.TERMINAL)


def _message(row: Event) -> Message:
    event = describe_event(row)
    data = format_sse_event(
        id=str(event.number), event=event.type, data_str=event.model_dump_json()
    )
    return Message(event.number, data)


def _progress(job: Job) -> bytes | None:
    progress = progress_of(job)
    if progress is None:
        return None
    return format_sse_event(event="progress", data_str=progress.model_dump_json())


@dataclass(frozen=True)
class _Look:
    started_at: float
    answer: asyncio.Task[Glance]


class SharedGlances:
    """Asks the database once for all who wait at the same place; used on one event loop.

    However many watch a job, it is looked at once in `max_age_seconds` for each place where they
    are, and nearly all are at its last event.
    """

    def __init__(self, session_factory: SessionFactory, *, max_age_seconds: float) -> None:
        self._session_factory = session_factory
        self._max_age_seconds = max_age_seconds
        self._looks: dict[Place, _Look] = {}

    async def at(self, place: Place) -> Glance:
        """Give what is being looked up here or was in the last moments, else look.

        Raises:
            JobNotFound: and what the database raises, to all who share the look.
        """
        look = self._looks.get(place)
        if look is None or self._is_old(look):
            self._looks = {
                other: each for other, each in self._looks.items() if not self._is_old(each)
            }
            answer = asyncio.create_task(run_in_threadpool(self._look, place))
            # If all who wait have gone, nobody else takes note of an error.
            answer.add_done_callback(lambda task: task.cancelled() or task.exception())
            look = self._looks[place] = _Look(time.monotonic(), answer)
        return await asyncio.shield(look.answer)

    def _look(self, place: Place) -> Glance:
        with reading(self._session_factory) as session:
            return glance(session, place)

    def _is_old(self, look: _Look) -> bool:
        return look.answer.done() and time.monotonic() - look.started_at >= self._max_age_seconds
