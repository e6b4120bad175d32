"""`python -m api` says where it listens, serves, and ends when asked, streams and all."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.main import app_from_environment

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Rows = Any  # these are classes of conftest.py, which tests cannot import
MakeToken = Any


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {
        "POTSTILL_DATABASE_URL": database_url,
        "POTSTILL_DATA_DIR": str(tmp_path / "data"),
        "POTSTILL_PORT": "0",
        "POTSTILL_LOG_LEVEL": "info",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api"], stderr=subprocess.PIPE, text=True, env=environment
    )
    yield process
    process.kill()
    process.communicate()


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    for text in server.stderr:
        line = json.loads(text)
        if line["message"] == "listening":
            return str(line["address"])
    raise AssertionError("It ended without listening.")


def test_open_stream_does_not_hold_the_server(
    server: subprocess.Popen[str], rows: Rows, make_token: MakeToken
) -> None:
    job_id = rows.job()
    url = f"{_address(server)}/v1/jobs/{job_id}/events"
    headers = {"Authorization": f"Bearer {make_token()}", "Accept": "text/event-stream"}
    with (
        httpx.Client(timeout=30, transport=httpx.HTTPTransport(retries=5)) as client,
        client.stream("GET", url, headers=headers) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "event: status_changed"
        server.send_signal(signal.SIGTERM)
        list(lines)  # the stream ends by itself
    assert server.wait(timeout=30) in (0, -signal.SIGTERM)


def test_answers_name_the_port_that_was_taken(
    server: subprocess.Popen[str], make_token: MakeToken
) -> None:
    address = _address(server)
    headers = {"Authorization": f"Bearer {make_token()}"}
    body = {"purpose": "dataset", "filename": "a.zip", "size_bytes": 3}
    with httpx.Client(timeout=30, transport=httpx.HTTPTransport(retries=5)) as client:
        answer = client.post(f"{address}/v1/uploads", json=body, headers=headers)
    assert answer.json()["parts"][0]["url"].startswith(f"{address}/v1/uploads/upl_")
    assert "server" not in answer.headers


def test_uvicorn_can_make_the_app_from_the_environment(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POTSTILL_DATABASE_URL", database_url)
    monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path))
    assert app_from_environment().title == "Potstill"
