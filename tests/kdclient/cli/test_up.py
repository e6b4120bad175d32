"""`potstill up`: what it prints works, and nothing of it outlives it."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kdclient import Potstill
from tests.kdclient.job_documents import Json
from tests.kdclient.processes import Process, family_of, still_alive, wait_until

PROGRAM = [sys.executable, "-m", "kdclient.cli"]


class Running:
    """`potstill up` in a folder of its own, and what it has printed so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.text = ""
        self.process = subprocess.Popen(
            [*PROGRAM, "up", "--port", "0", *arguments],
            cwd=folder,
            env=os.environ | {"POTSTILL_TRAINING_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def wait_until_up(self) -> None:
        wait_until(lambda: "Ctrl-C" in self.text or self.process.poll() is not None, what=self.text)
        assert self.process.poll() is None, self.text

    def family(self) -> set[Process]:
        return family_of(self.process.pid)

    def end(self) -> int:
        status = self.process.wait(timeout=60)
        self._reader.join()
        return status

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A service that is up, and is killed if the test leaves it."""
    running = Running(tmp_path / "folder")
    try:
        running.wait_until_up()
        yield running
    finally:
        running.stop()


def potstill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another command in the same folder, as another terminal would."""
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def paste(line: str) -> Json:
    """Do what the printed line does; with curl itself, where there is one."""
    if shutil.which("curl"):
        command = ["/bin/sh", "-c", f"{line} --silent"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        curl, option, header, url = shlex.split(line)
        assert (curl, option) == ("curl", "-H")
        name, _, value = header.partition(": ")
        answer = httpx.get(url, headers={name: value}, trust_env=False).text
    found: Json = json.loads(answer)
    return found


def connection_of(running: Running) -> dict[str, str]:
    text = (running.folder / "potstill-data" / "client.json").read_text()
    saved: dict[str, str] = json.loads(text)
    return saved


def test_what_it_prints_works_and_ctrl_c_leaves_nothing(running: Running) -> None:
    saved = connection_of(running)
    assert saved["url"] in running.text
    assert saved["api_key"] in running.text

    [line] = re.findall(r"^ +(curl .*)$", running.text, re.MULTILINE)
    assert [each["id"] for each in paste(line)["items"]] == ["digits"]

    other_terminal = potstill(running.folder, "datasets")
    assert (other_terminal.returncode, other_terminal.stderr) == (0, "")
    assert other_terminal.stdout.startswith("digits\t")

    data_dir = running.folder / "potstill-data"
    assert stat.S_IMODE((data_dir / "client.json").stat().st_mode) == 0o600
    assert {"api.log", "worker.log"} <= {path.name for path in (data_dir / "logs").iterdir()}

    second = potstill(running.folder, "up", "--port", "0")
    assert second.returncode == 1
    assert "Another `potstill up` runs on" in second.stderr

    family = running.family()
    assert len(family) >= 3
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert not still_alive(family)


def test_folder_is_taken_up_again_with_a_key_that_works(running: Running) -> None:
    first = connection_of(running)["api_key"]
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 128 + signal.SIGTERM
    again = Running(running.folder)
    try:
        again.wait_until_up()
        assert connection_of(again)["api_key"] == first
        with Potstill(connection_of(again)["url"], first) as client:
            client.revoke_key(next(client.keys()).id)
    finally:
        again.stop()
    third = Running(running.folder)
    try:
        third.wait_until_up()
        connection = connection_of(third)
        assert connection["api_key"] != first
        with Potstill(connection["url"], connection["api_key"]) as client:
            assert list(client.jobs()) == []
    finally:
        third.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_kill_leaves_nothing(running: Running) -> None:
    family = running.family()
    assert len(family) >= 3
    running.process.kill()
    wait_until(lambda: not still_alive(family), what="everything to be gone")


def test_service_that_dies_is_named_and_takes_the_rest_along(running: Running) -> None:
    family = running.family()
    [worker] = [each for each in family if _command(each).endswith("-m worker")]
    os.kill(worker.pid, signal.SIGKILL)
    assert running.end() == 1
    assert "worker was ended by SIGKILL" in running.text
    assert "worker.log" in running.text
    wait_until(lambda: not still_alive(family), what="everything to be gone")


def test_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = potstill(tmp_path, "up", "--port", str(port))
    assert result.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use by another program" in result.stderr
    assert "Traceback" not in result.stderr


def test_address_of_another_machine_is_said_plainly(tmp_path: Path) -> None:
    result = potstill(tmp_path, "up", "--host", "192.0.2.1", "--port", "0")
    assert result.returncode == 1
    assert "Cannot listen at 192.0.2.1" in result.stderr


def _command(process: Process) -> str:
    text = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    return text.replace(b"\0", b" ").decode().strip()
