"""What the whole process shares: settings, database, objects, queue; made once, by lifespan."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Engine
from starlette.requests import Request

from api.jobs.glances import SharedGlances
from api.latest import Latest
from api.metrics import ApiMetrics
from api.parts import Parts, make_parts
from api.uploads.slots import UploadSlots
from kdstore.backlog import Backlog, read_backlog
from kdstore.db import SessionFactory, make_engine, make_session_factory, reading
from kdstore.objects import ObjectStore
from kdstore.queue import make_celery
from kdstore.settings import Settings
from kdstore.signed_links import SignedLinks, open_links
from kdstore.tracing import Tracing

STREAM_POLL_SECONDS = 1.0
STREAM_HEARTBEAT_SECONDS = 15.0


@dataclass(frozen=True)
class StreamPace:
    """How often a live stream looks at the database, and how long it may say nothing."""

    poll_seconds: float = STREAM_POLL_SECONDS
    heartbeat_seconds: float = STREAM_HEARTBEAT_SECONDS


@dataclass(frozen=True)
class AppState:
    """Everything a request may use that outlives it.

    `links` is None where clients move bytes through this API.
    `queue` is the Celery app, which ships no types, hence Any. `stopping` is set when the server
    begins to shut down, so that streams end instead of holding it.
    """

    settings: Settings
    engine: Engine
    session_factory: SessionFactory
    objects: ObjectStore
    links: SignedLinks | None
    queue: Any
    pace: StreamPace
    glances: SharedGlances
    upload_slots: UploadSlots
    metrics: ApiMetrics
    parts: Parts
    tracing: Tracing
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def open_state(
    settings: Settings, pace: StreamPace, metrics: ApiMetrics, tracing: Tracing
) -> Iterator[AppState]:
    """Open everything; nothing is connected before it is used."""
    engine = make_engine(settings.database)
    queue = make_celery(settings)
    session_factory = make_session_factory(engine)
    objects = ObjectStore.from_url(settings.objects)
    parts = make_parts(engine=engine, objects=objects, queue=queue)
    backlog = Latest(lambda: _backlog(session_factory))
    try:
        with metrics.watching(parts=parts, backlog=backlog, objects=objects):
            yield AppState(
                settings=settings,
                engine=engine,
                session_factory=session_factory,
                objects=objects,
                links=open_links(settings, objects),
                queue=queue,
                pace=pace,
                glances=SharedGlances(session_factory, max_age_seconds=pace.poll_seconds / 2),
                upload_slots=UploadSlots(
                    memory_bytes=settings.upload_memory_bytes,
                    stream_bytes=objects.stream_memory_bytes,
                ),
                metrics=metrics,
                parts=parts,
                tracing=tracing,
            )
    finally:
        queue.close()
        engine.dispose()


def _backlog(session_factory: SessionFactory) -> Backlog:
    with reading(session_factory) as session:
        return read_backlog(session)


def state_of(request: Request) -> AppState:
    """Give the state of the app that serves this request."""
    return cast("AppState", request.app.state.potstill)
