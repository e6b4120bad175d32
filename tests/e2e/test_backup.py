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
from sqlalchemy import Engine, make_url, text

from deploy.servers import PostgresServer
from kdclient import Potstill
from kdclient.services import Services
from kdstore.db import make_engine, make_session_factory, reading
from kdstore.objects import ObjectStore
from kdstore.tables import Artifact, Model
from migrations import find_drift, upgrade
from tests.deploy.files import ROOT, read_compose
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


# In the place of Docker: PostgreSQL's programs run here, and a folder is the bucket.
_DOCKER = """#!/bin/sh
set -eu
[ "$1" = compose ]; shift
echo "$*" >> "$CALLS"
case "$*" in
    "exec -T postgres "*) shift 3; program=$1; shift; exec "$PROGRAMS/$program" "$@" ;;
    "run "*":/backup rclone sync bucket:potstill /backup/objects")
        from=$BUCKET to=backup/objects ;;
    "run "*":/backup:ro rclone sync /backup/objects bucket:potstill")
        from=backup/objects to=$BUCKET ;;
    "run "*) exit 1 ;;
    *) exit ;;
esac
rm -rf "$to"
cp -R "$from" "$to"
"""


def test_commands_for_compose_bring_back_what_was_there_and_nothing_newer(tmp_path: Path) -> None:
    backup, restore = _commands_for_compose()
    bucket = tmp_path / "bucket"
    with PostgresServer(tmp_path / "postgres") as server:
        engine = make_engine(server.url)
        upgrade(engine)
        objects = ObjectStore.from_url(f"file://{bucket}")
        holdings = Holdings(make_session_factory(engine), objects)
        upload_id, _ = holdings.stored_upload()
        holdings.model(upload_id)
        holdings.succeed(holdings.running_job())
        stored = _stored(engine)
        _run(server, backup, bucket=bucket)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE of_a_newer_release (id INTEGER)"))
            connection.execute(text("UPDATE alembic_version SET version_num = 'f00dfeedcafe'"))
        holdings.succeed(holdings.running_job())
        objects.put_bytes("newer", b"newer")
        with engine.connect() as somebody:
            somebody.execute(text("SELECT 1"))
            called = _run(server, restore, bucket=bucket)
            somebody.invalidate()
        engine.dispose()
        assert upgrade(engine) is None
        assert find_drift(engine) == []
        assert _stored(engine) == stored
        engine.dispose()
    assert not objects.exists("newer")
    for key, sha256 in stored:
        assert hashlib.sha256(objects.get_bytes(key)).hexdigest() == sha256
    assert called[0] == "stop"
    assert called[-2:] == ["up --detach", "exec api python -m doctor"]


def test_restore_uses_no_service_that_it_has_stopped() -> None:
    _, restore = _commands_for_compose()
    services = read_compose()["services"]
    running: set[str] = set(services)
    for command in re.findall(r"docker compose (.*)", restore):
        match command.split():
            case ["stop", *names]:
                running -= {*names} or running.copy()
            case ["up", *names]:
                named = {name for name in names if not name.startswith("-")}
                running |= named - {"#"} if "--wait" in names else set(services)
            case ["exec", *options]:
                name = next(each for each in options if not each.startswith("-"))
                assert name in running
            case ["run", *_]:
                assert running >= services["rclone"]["depends_on"].keys()


def test_rclone_reaches_the_bucket_that_workers_use() -> None:
    services = read_compose()["services"]
    environment, used = services["rclone"]["environment"], services["api"]["environment"]
    assert environment["RCLONE_CONFIG_BUCKET_ENDPOINT"] == used["AWS_ENDPOINT_URL"]
    assert environment["RCLONE_CONFIG_BUCKET_ACCESS_KEY_ID"] == used["AWS_ACCESS_KEY_ID"]
    assert environment["RCLONE_CONFIG_BUCKET_SECRET_ACCESS_KEY"] == used["AWS_SECRET_ACCESS_KEY"]
    assert used["POTSTILL_OBJECTS_URL"] == "s3://potstill"
    host = environment["RCLONE_CONFIG_BUCKET_ENDPOINT"].split("/")[-1].split(":")[0]
    assert {*services["rclone"]["networks"]} & {*services[host]["networks"]}


def _commands_for_compose() -> tuple[str, str]:
    """What docs/backup.md says to do: to back up, and to restore; a command on each line."""
    page = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8").partition("## Production")[2]
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    backup, restore = (block.replace("\\\n", "") for block in blocks)
    return backup, restore


def _run(server: PostgresServer, commands: str, *, bucket: Path) -> list[str]:
    """Run the commands beside the bucket, and give what they asked of `docker compose`."""
    docker = bucket.parent / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    calls = bucket.parent / "calls"
    calls.unlink(missing_ok=True)
    url = make_url(server.url)
    environment = {
        "PATH": f"{docker.parent}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "BUCKET": str(bucket),
        "PROGRAMS": str(server._programs),
        "PGHOST": str(url.host),
        "PGPORT": str(url.port),
        "PGPASSWORD": str(url.password),
    }
    subprocess.run(["sh", "-euc", commands], cwd=bucket.parent, env=environment, check=True)
    return calls.read_text().splitlines()


def _stored(engine: Engine) -> set[tuple[str, str]]:
    """Key and digest of everything that rows say is in the bucket."""
    with reading(make_session_factory(engine)) as session:
        artifacts = {(row.object_key, row.sha256) for row in session.query(Artifact)}
        models = {(row.object_key or "", row.sha256 or "") for row in session.query(Model)}
    return artifacts | models
