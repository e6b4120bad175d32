"""Clients, and what they talk to: the real API behind a real port, or a scripted server."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn

from api.__main__ import Server, bind
from api.main import create_app
from api.state import StreamPace
from kdclient import Potstill
from kdclient.retries import RetryPolicy
from kdclient.transport import Transport
from kdstore import keys, workspaces
from kdstore.db import SessionFactory, transaction
from kdstore.settings import Settings
from kdstore.tables import Role
from tests.kdclient.scripted_server import ScriptedServer

RETRIES = RetryPolicy(max_attempts=4, first_wait_seconds=1.0, jitter=lambda: 1.0)


@pytest.fixture
def naps() -> list[float]:
    """Every wait of the clients of a test, in seconds; none of them is really waited for."""
    return []


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A server that answers what the test writes down."""
    server = ScriptedServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def transport(scripted: ScriptedServer, naps: list[float]) -> Iterator[Transport]:
    """A transport to the scripted server."""
    transport = Transport(scripted.url, "a-key", retries=RETRIES, sleep=naps.append)
    yield transport
    transport.close()


@pytest.fixture
def client(scripted: ScriptedServer, naps: list[float]) -> Iterator[Potstill]:
    """A client of the scripted server."""
    with Potstill(scripted.url, "a-key", retries=RETRIES, sleep=naps.append) as client:
        yield client


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small parts, so that a few bytes make an upload of several."""
    return settings.model_copy(update={"part_size_bytes": 1000})


@pytest.fixture
def api_url(settings: Settings) -> Iterator[str]:
    """The real API behind a real port, without a worker."""
    listener = bind("127.0.0.1", 0)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    app = create_app(settings, pace=StreamPace(poll_seconds=0.02, heartbeat_seconds=0.05))
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5), app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield settings.address
    server.should_exit = True
    app.state.potstill.stopping.set()
    thread.join()
    listener.close()


@pytest.fixture
def make_token(session_factory: SessionFactory) -> Callable[[Role], str]:
    """Make keys of any role."""

    def make(role: Role) -> str:
        with transaction(session_factory) as session:
            workspace = workspaces.ensure(session, name="ours")
            return keys.create(session, workspace_id=workspace.id, name=role, role=role).token

    return make


@pytest.fixture
def potstill(api_url: str, make_token: Callable[[Role], str]) -> Iterator[Potstill]:
    """An admin's client of the real API."""
    with Potstill(api_url, make_token("admin")) as client:
        yield client
