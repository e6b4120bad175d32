"""The script that writes .env: a new secret for every variable that must be set."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

SCRIPT = ROOT / "deploy" / "compose" / "write_env.sh"


def write(
    file: Path, *more: str, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), str(file), *more],
        env={"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def read(file: Path) -> dict[str, str]:
    lines = (line for line in file.read_text().splitlines() if not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_every_required_variable_gets_a_secret_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    secrets = [file[name] for name in required for file in (one, two)]
    assert len(set(secrets)) == 2 * len(required)
    # No sign that a URL, a shell or a YAML file would read as something else.
    assert all(re.fullmatch(r"[0-9a-f]{20,}", secret) for secret in secrets)


def test_metrics_are_protected_from_the_start(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    tokens = {read(tmp_path / name)["POTSTILL_METRICS_TOKEN"] for name in ("one", "two")}
    assert len(tokens) == 2
    assert all(re.fullmatch(r"[0-9a-f]{48}", token) for token in tokens)


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    write(tmp_path / ".env")
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_profiles_are_written_down(tmp_path: Path) -> None:
    write(tmp_path / ".env", "gpu,monitoring")
    assert read(tmp_path / ".env")["COMPOSE_PROFILES"] == "gpu,monitoring"


@pytest.mark.parametrize(
    ("cores", "cpus", "complaint"),
    [(1, "1", "needs 2 CPU cores; this machine has 1"), (2, "2", ""), (4, "4", ""), (64, "4", "")],
)
def test_worker_may_use_no_more_cores_than_the_machine_has(
    cores: int, cpus: str, complaint: str, tmp_path: Path
) -> None:
    getconf = tmp_path / "getconf"
    getconf.write_text(f"#!/bin/sh\n[ $1 = _NPROCESSORS_ONLN ] && echo {cores}\n")
    getconf.chmod(0o755)
    result = write(tmp_path / ".env", path=f"{tmp_path}:{os.environ['PATH']}")
    assert read(tmp_path / ".env")["POTSTILL_WORKER_CPUS"] == cpus
    assert result.stderr == (f"docker-compose.yml {complaint}.\n" if complaint else "")


def test_variables_are_those_of_the_compose_file(tmp_path: Path) -> None:
    write(tmp_path / ".env")
    text = (ROOT / "docker-compose.yml").read_text()
    names = {*re.findall(r"\$\{(\w+):", text), *re.findall(r"(?m)^ +([A-Z_]+):$", text)}
    assert read(tmp_path / ".env").keys() <= names | {"COMPOSE_PROFILES"}


def test_secrets_in_use_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=kept\n")
    result = write(tmp_path / ".env")
    assert result.returncode == 1
    assert "Move it away" in result.stderr
    assert (tmp_path / ".env").read_text() == "POSTGRES_PASSWORD=kept\n"
