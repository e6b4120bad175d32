"""A backup of a running service, made as docs/backup.md says, serves the same bytes elsewhere."""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from deploy.servers import PostgresServer
from kdclient import Potstill
from kdclient.services import Services
from kdstore.db import make_engine, make_session_factory, reading
from kdstore.objects import ObjectStore
from kdstore.tables import Artifact, Model
from migrations import current_revision, head_revision, upgrade
from tests.kdstore.holdings import Holdings

pytestmark = pytest.mark.xdist_group("e2e")

QUICK_JOB = {
    "kind": "train",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [8]},
    "training": {"num_epochs": 1},
    "exports": ["safetensors"],
    "evaluation": {"latency": False},
}


def _environment() -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not re.match("POTSTILL_", name)}
    return {**outside, "POTSTILL_TRAINING_THREADS": "1", "POTSTILL_DEVICE": "cpu"}


def _back_up(data_dir: Path, backup: Path) -> None:
    """Database first, then objects: what a row names was stored before the row was written."""
    backup.mkdir()
    with (
        closing(sqlite3.connect(data_dir / "potstill.sqlite3")) as live,
        closing(sqlite3.connect(backup / "potstill.sqlite3")) as copy,
    ):
        live.backup(copy)
    shutil.copytree(data_dir / "objects", backup / "objects")
    shutil.copy(data_dir / "client.json", backup)


def test_backup_of_a_running_embedded_service_serves_the_same_files_elsewhere(
    tmp_path: Path,
) -> None:
    original, restored = tmp_path / "original", tmp_path / "restored"
    with Services(original, environment=_environment()) as services:
        connection = services.start()
        with Potstill(connection.url, connection.api_key) as client:
            client.wait_until_ready(client.dataset("digits"))
            job = client.wait_for_job(client.create_job(QUICK_JOB).id)
            artifacts = client.artifacts(job.id)
            client.create_job(QUICK_JOB)  # somebody goes on working meanwhile
            _back_up(original, restored)
    shutil.rmtree(original)
    with Services(restored, environment=_environment()) as services:
        connection = services.start()
        with Potstill(connection.url, connection.api_key) as client:
            client.download_artifacts(job.id, tmp_path / "files")
            assert [each.sha256 for each in client.artifacts(job.id)] == [
                artifact.sha256 for artifact in artifacts
            ]
            [other] = [each for each in client.jobs() if each.id != job.id]
            assert client.wait_for_job(other.id).status == "succeeded"
    for artifact in artifacts:
        content = (tmp_path / "files" / artifact.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == artifact.sha256


def test_dump_of_postgresql_and_a_copy_of_the_bucket_are_whole(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    source, target = (_new_database(postgres_server, name) for name in ("source", "target"))
    engine = make_engine(source)
    upgrade(engine)
    holdings = Holdings(
        make_session_factory(engine), ObjectStore.from_url(f"file://{tmp_path}/bucket")
    )
    upload_id, _ = holdings.stored_upload()
    model_id, _ = holdings.model(upload_id)
    artifacts = holdings.succeed(holdings.running_job())
    dump = tmp_path / "potstill.dump"
    _run(postgres_server, "pg_dump", "--format=custom", f"--file={dump}", _plain(source))
    shutil.copytree(tmp_path / "bucket", tmp_path / "copy")
    engine.dispose()
    _run(
        postgres_server, "pg_restore", "--no-owner", "--exit-on-error",
        f"--dbname={_plain(target)}", str(dump),
    )  # fmt: skip
    engine = make_engine(target)
    objects = ObjectStore.from_url(f"file://{tmp_path}/copy")
    assert current_revision(engine) == head_revision()
    with reading(make_session_factory(engine)) as session:
        rows = session.query(Artifact).all()
        model = session.get_one(Model, model_id)
        stored = [(row.object_key, row.sha256) for row in rows]
        stored.append((model.object_key or "", model.sha256 or ""))
    engine.dispose()
    assert {key for key, _ in stored} > set(artifacts)
    for key, sha256 in stored:
        assert hashlib.sha256(objects.get_bytes(key)).hexdigest() == sha256


def _new_database(server: PostgresServer, name: str) -> str:
    admin = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return server.url.removesuffix("/potstill") + f"/{name}"


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _run(server: PostgresServer, program: str, *arguments: str) -> None:
    subprocess.run([server._programs / program, *arguments], check=True)
