"""Potstill's own processes as an operator starts them, to be stopped, killed and frozen."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from deploy.servers.process import find_program
from kdclient import tether
from tests.faults.waiting import wait_until

_INODES = 2000
_FORK_SERVER = "worker.fork_server"
# A child that was forked goes by the name of its server.
_CHILDREN = (
    _FORK_SERVER,
    "worker.trainer_process",
    "worker.ingest_process",
    "worker.rank_process",
)


class Program:
    """One process of ours, `python -m <module>`, with its log in a file.

    `inside` is a command that makes its surroundings and then becomes the command that follows.
    """

    def __init__(
        self,
        module: str,
        *,
        ready: str,
        log: Path,
        environment: Mapping[str, str],
        inside: Sequence[str] = (),
    ) -> None:
        self.log = log
        tethered = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                # It must not outlive the tests, however they end.
                [*tethered, *inside, sys.executable, "-m", module],
                env={"PATH": os.environ["PATH"], **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._ready = ready

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        wait_until(
            lambda: self.says(self._ready) or not self.is_running, f"{self.log} says {self._ready}"
        )
        assert self.is_running, self.log.read_text()

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)  # one that has ended gets nothing

    def kill(self) -> None:
        """End it as the kernel would: at once, its children not asked."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait for its end, and give its exit status."""
        wait_until(lambda: not self.is_running, f"process of {self.log} ends")
        return self._process.wait()

    def children(self) -> list[psutil.Process]:
        """Its processes now: those that train or read, and its fork server."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in found if is_ours(child)]

    def trainers(self) -> list[psutil.Process]:
        """Its processes that train, or wait to; not the fork server that they come from."""
        children = self.children()
        return [child for child in children if not _is_fork_server(child, of=self.pid)]

    def send_trainers(self, number: signal.Signals) -> None:
        send(self.trainers(), number)


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those processes that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def is_ours(process: psutil.Process) -> bool:
    """Tell whether a process is a child that some worker started, and still runs."""
    with contextlib.suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            return any(module in process.cmdline() for module in _CHILDREN)
    return False


def _is_fork_server(process: psutil.Process, *, of: int) -> bool:
    """Tell a worker's fork server from its children, whose command line is the same."""
    with contextlib.suppress(psutil.Error):
        return _FORK_SERVER in process.cmdline() and process.ppid() == of
    return False


def is_gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended; one that waits to be collected has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ancestors(process: psutil.Process) -> set[int]:
    """Give the ids of the processes that a process comes from; none of one that is gone."""
    try:
        return {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return set()


def children_below(folder: Path) -> list[psutil.Process]:
    """Find the children of all workers, dead ones included, whose data lie below a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if is_ours(process) and process.cwd().startswith(str(folder)):
                found.append(process)
    return found


def on_small_disk(folder: Path, *, size_bytes: int) -> list[str]:
    """Give the command that makes a folder a file system of its own, in memory.

    Only the command that follows sees it. Needs root, or a system that lets users have mounts of
    their own.
    """
    folder.mkdir(parents=True)
    own_users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = f'mount -t tmpfs -o size="$0",nr_inodes={_INODES} tmpfs "$1" && shift && exec "$@"'
    return [
        find_program("unshare"),
        "--mount",
        *own_users,
        "sh",
        "-c",
        script,
        str(size_bytes),
        str(folder),
    ]
