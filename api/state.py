"""What the whole process shares: settings, database, objects, queue; made once, by lifespan."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Engine
from starlette.requests import Request

from kdstore.db import SessionFactory, make_engine, make_session_factory
from kdstore.objects import ObjectStore
from kdstore.queue import make_celery
from kdstore.settings import Settings
from kdstore.signed_links import SignedLinks, open_links

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
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def open_state(settings: Settings, pace: StreamPace) -> Iterator[AppState]:
    """Open everything; nothing is connected before it is used."""
    engine = make_engine(settings.database)
    queue = make_celery(settings)
    objects = ObjectStore.from_url(settings.objects)
    try:
        yield AppState(
            settings=settings,
            engine=engine,
            session_factory=make_session_factory(engine),
            objects=objects,
            links=open_links(settings, objects),
            queue=queue,
            pace=pace,
        )
    finally:
        queue.close()
        engine.dispose()


def state_of(request: Request) -> AppState:
    """Give the state of the app that serves this request."""
    return cast("AppState", request.app.state.potstill)
