"""A running API for the doctor to ask."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr

from api.__main__ import Server, bind
from api.main import create_app
from kdstore.settings import Settings


@pytest.fixture
def live_api(sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """The API behind a real server; gives its address."""
    settings = Settings(
        environment="test", data_dir=tmp_path / "api", database_url=SecretStr(sqlite_url)
    )
    app = create_app(settings)
    listener = bind("127.0.0.1", 0)
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5), app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()
