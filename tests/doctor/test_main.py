"""The doctor says what is wrong with each connection, and never what is secret."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from deploy.servers import PostgresServer, RedisServer, S3Server
from doctor.__main__ import main
from doctor.database import examine_database
from doctor.machine import examine_torch
from kdstore import workers
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, make_engine, transaction
from kdstore.settings import Settings
from migrations import downgrade, head_revision, upgrade

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation in a folder of this test."""
    monkeypatch.setenv("POTSTILL_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def sqlite(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> str:
    """A migrated SQLite database that the installation uses."""
    monkeypatch.setenv("POTSTILL_DATABASE_URL", sqlite_url)
    return sqlite_url


@pytest.fixture
def findings(capsys: pytest.CaptureFixture[str]) -> Any:
    """Call it to examine, and get exit code and findings by name."""

    def examine() -> tuple[int, dict[str, dict[str, str]]]:
        code = main(["--json", "--quick", "--url", NOBODY])
        document = json.loads(capsys.readouterr().out)
        assert document["healthy"] == (code == 0)
        return code, {finding["name"]: finding for finding in document["findings"]}

    return examine


@pytest.mark.usefixtures("sqlite")
def test_every_connection_is_tried_and_told(findings: Any) -> None:
    code, found = findings()
    assert code == 1
    assert {name: finding["verdict"] for name, finding in found.items()} == {
        "settings": "ok",
        "database": "ok",
        "migrations": "ok",
        "clock": "ok",
        "workers": "failed",
        "broker": "ok",
        "objects": "ok",
        "links": "ok",
        "disk": "ok",
        "api": "failed",
        "traces": "ok",
    }
    assert all(finding["advice"] for finding in found.values() if finding["verdict"] == "failed")


@pytest.mark.usefixtures("sqlite")
def test_table_has_a_line_for_each_thing_with_advice_beneath(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--quick", "--url", NOBODY]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "settings    ok      read, for production"
    [number] = [index for index, line in enumerate(lines) if line.startswith("workers")]
    assert lines[number + 1].strip().startswith("→ Start one")


def test_settings_that_cannot_be_read_are_named_without_their_value(
    monkeypatch: pytest.MonkeyPatch, findings: Any
) -> None:
    monkeypatch.setenv("POTSTILL_PORT", "hunter2")
    code, found = findings()
    assert code == 1
    assert found["settings"]["detail"] == "POTSTILL_PORT"
    assert "hunter2" not in json.dumps(found)


def test_database_that_is_not_there_is_not_made(tmp_path: Path, findings: Any) -> None:
    _, found = findings()
    assert found["database"]["verdict"] == "failed"
    assert not (tmp_path / "data/potstill.sqlite3").exists()


def test_database_of_an_earlier_release_is_told(sqlite: str, findings: Any) -> None:
    engine = make_engine(sqlite)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '6d0c1f7a92be'"))
    engine.dispose()
    _, found = findings()
    assert found["migrations"]["verdict"] == "failed"
    assert head_revision() in found["migrations"]["detail"]


def test_database_of_a_newer_release_is_told_and_fails_only_where_something_is_missing(
    sqlite: str, findings: Any
) -> None:
    engine = make_engine(sqlite)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'f00dfeedcafe'"))
    _, found = findings()
    assert found["migrations"]["verdict"] == "warning"
    assert "rolled back" in found["migrations"]["advice"]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE duties"))
    engine.dispose()
    _, found = findings()
    assert found["migrations"]["verdict"] == "failed"
    assert "table duties is missing" in found["migrations"]["detail"]
    assert "python -m migrations" not in found["migrations"]["advice"]


def test_missing_tables_are_told(sqlite: str, findings: Any) -> None:
    engine = make_engine(sqlite)
    downgrade(engine, revision="base")
    engine.dispose()
    _, found = findings()
    assert found["migrations"]["verdict"] == "failed"
    assert "clock" not in found


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_worker_seen_on_postgresql_is_counted(
    database_url: str, session_factory: SessionFactory, settings: Settings
) -> None:
    assert database_url.startswith("postgresql")
    with transaction(session_factory) as session:
        workers.seen(session, name="w", device="cpu", capacity=Capacity("cpu", 1, None))
    found = {finding.name: finding for finding in examine_database(settings)}
    assert found["database"].detail == "postgresql answers"
    assert (found["workers"].verdict, found["workers"].detail) == ("ok", "1 seen within 30 s")


def test_servers_that_are_away_are_told_without_their_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POTSTILL_DATABASE_URL", "postgresql+psycopg://u:hunter2@127.0.0.1:9/p")
    monkeypatch.setenv("POTSTILL_BROKER_URL", "redis://:hunter2@127.0.0.1:9/0")
    monkeypatch.setenv("POTSTILL_OBJECTS_URL", "ftp://u:hunter2@127.0.0.1")
    assert main(["--json", "--quick", "--url", NOBODY]) == 1
    shown = capsys.readouterr()
    failed = [
        finding["name"]
        for finding in json.loads(shown.out)["findings"]
        if finding["verdict"] == "failed"
    ]
    assert failed == ["database", "broker", "objects", "api"]
    assert "hunter2" not in shown.out + shown.err


@pytest.mark.xdist_group("s3")
def test_servers_of_production_are_used(
    monkeypatch: pytest.MonkeyPatch,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    s3_server: S3Server,
    findings: Any,
) -> None:
    for server in (postgres_server, redis_server, s3_server):
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
    engine = make_engine(postgres_server.url)
    upgrade(engine)
    engine.dispose()
    _, found = findings()
    assert found["database"]["verdict"] == found["migrations"]["verdict"] == "ok"
    assert found["broker"]["detail"] == "redis answers"
    assert found["objects"]["detail"] == "put, read and deleted"
    assert found["links"]["detail"] == "a signed link works"


class TestTorch:
    """A stand-in for Python answers as one with that torch would."""

    def _verdicts(self, tmp_path: Path, settings: Settings, answer: str) -> dict[str, str]:
        python = tmp_path / "python"
        shell = shutil.which("sh")
        python.write_text(f"#!{shell}\n{answer}\n")
        python.chmod(0o755)
        found = examine_torch(settings, can_train=True, python=str(python))
        return {finding.name: finding.verdict for finding in found}

    @pytest.mark.parametrize(
        ("answer", "verdicts"),
        [
            ("""echo '["2.13.0", "0.28.0", "cpu"]'""", {"torch": "ok", "torchvision": "ok"}),
            ("""echo '["2.13.0", null, "cpu"]'""", {"torch": "ok", "torchvision": "failed"}),
            ("exit 1", {"torch": "failed"}),
            ("kill -9 $$", {"torch": "failed"}),
        ],
    )
    def test_what_torch_can_do_here_is_told(
        self, answer: str, verdicts: dict[str, str], tmp_path: Path
    ) -> None:
        assert self._verdicts(tmp_path, Settings(device="cpu"), answer) == verdicts

    def test_real_torch_computes_here(self) -> None:
        torch = next(iter(examine_torch(Settings(device="cpu"), can_train=True)))
        assert torch.verdict == "ok"
        assert torch.detail.endswith("computes on cpu")
