"""The health check of a worker's container asks the database, as everybody else does."""

import socket
from pathlib import Path

import pytest

from kdstore import workers
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, transaction
from worker.health import main

CAPACITY = Capacity(device_kind="cpu", max_processes=1, memory_bytes=None)


@pytest.fixture(autouse=True)
def _environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POTSTILL_DATABASE_URL", database_url)


def test_worker_that_was_just_seen_is_healthy(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workers.seen(
            session, name=f"{socket.gethostname()}-7-ab12", device="cpu", capacity=CAPACITY
        )
    assert main() == 0


def test_worker_of_another_host_does_not_count(
    session_factory: SessionFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction(session_factory) as session:
        workers.seen(session, name="elsewhere-7-ab12", device="cpu", capacity=CAPACITY)
    assert main() == 1
    assert socket.gethostname() in capsys.readouterr().err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_database_that_is_away_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POTSTILL_DATABASE_URL", f"sqlite:///{tmp_path}/without_tables.sqlite3")
    assert main() == 1
    assert "does not answer" in capsys.readouterr().err
