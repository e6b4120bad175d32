"""Children die with their parent, however that ends, and stop in order."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdclient import children
from kdclient.children import Child
from kdclient.errors import ServiceDied
from tests.kdclient.processes import Process, family_of, still_alive, wait_until

# A module of its own for each behaviour, found through PYTHONPATH.
MODULES = {
    "sleeper": "import time; print('ready', flush=True); time.sleep(600)",
    "stubborn": (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True); time.sleep(600)"
    ),
    "breeder": (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('ready', flush=True); time.sleep(600)"
    ),
    "failing": "import sys; print('a last word', file=sys.stderr); sys.exit(3)",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which the modules are found."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.fixture
def started() -> Iterator[list[Child]]:
    """Children that are killed at the end of the test, whatever it did."""
    found: list[Child] = []
    yield found
    children.stop(found, grace_seconds=0.0)


def start(name: str, environment: dict[str, str], tmp_path: Path, started: list[Child]) -> Child:
    child = children.start(name, [name], environment=environment, log_folder=tmp_path / "logs")
    started.append(child)
    if name != "failing":
        wait_until(lambda: "ready" in child.log_tail(), what=f"{name} to be ready")
    return child


def test_stopped_child_is_asked_first(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    child = start("sleeper", environment, tmp_path, started)
    children.stop([child], grace_seconds=30.0)
    assert child.process.returncode == -signal.SIGTERM


def test_stubborn_child_is_killed_after_the_grace(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    child = start("stubborn", environment, tmp_path, started)
    children.stop([child], grace_seconds=0.1)
    assert child.process.returncode == -signal.SIGKILL


def test_what_a_child_started_goes_with_it(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    child = start("breeder", environment, tmp_path, started)
    family = family_of(child.process.pid)
    assert len(family) == 2
    children.stop([child], grace_seconds=5.0)
    wait_until(lambda: not still_alive(family), what="the family to be gone")


def test_dead_child_is_told_with_its_last_words(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    child = start("failing", environment, tmp_path, started)
    child.process.wait()
    with pytest.raises(ServiceDied, match="failing ended with exit code 3") as caught:
        child.raise_if_dead()
    assert caught.value.log_tail == "a last word"
    assert str(tmp_path / "logs" / "failing.log") in caught.value.message


def test_child_killed_by_a_signal_is_told_with_its_name(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    child = start("sleeper", environment, tmp_path, started)
    child.process.kill()
    child.process.wait()
    with pytest.raises(ServiceDied, match="was ended by SIGKILL"):
        child.raise_if_dead()


def test_log_of_an_earlier_run_is_not_shown(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "sleeper.log").write_text("long ago\n")
    child = start("sleeper", environment, tmp_path, started)
    assert child.log_tail() == "ready"


def test_log_that_has_grown_long_is_put_aside(
    environment: dict[str, str], tmp_path: Path, started: list[Child]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "sleeper.log").write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    start("sleeper", environment, tmp_path, started)
    assert (tmp_path / "logs" / "sleeper.log").read_text() == "ready\n"
    assert (tmp_path / "logs" / "sleeper.log.1").exists()


def test_module_in_the_working_directory_is_not_run_instead(
    environment: dict[str, str],
    tmp_path: Path,
    started: list[Child],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sleeper.py").write_text("print('ready: impostor')")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert start("sleeper", environment, tmp_path, started).log_tail() == "ready"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_child_dies_with_a_parent_that_is_killed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "import os, time; from pathlib import Path; from kdclient import children\n"
        f"child = children.start('stubborn', ['stubborn'], environment=os.environ, "
        f"log_folder=Path({str(tmp_path / 'logs')!r}))\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment)
    log = tmp_path / "logs" / "stubborn.log"
    wait_until(lambda: log.exists() and "ready" in log.read_text(), what="the child")
    family: set[Process] = family_of(parent.pid)
    assert len(family) == 2
    parent.kill()
    parent.wait()
    wait_until(lambda: not still_alive(family), what="the child to be gone")
