"""A server as a child process that ends with its parent."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from deploy.servers.ports import ReservedPort
from kdclient import tether

_READY_SECONDS = 180.0  # a machine that tests load with all their processes is slow
_POLL_SECONDS = 0.05
_STOP_SECONDS = 20.0
_LOG_TAIL_CHARACTERS = 2000


class ServerFailed(Exception):
    """A server did not start; the end of its log says why."""


def find_program(name: str) -> str:
    """Find a program beside this Python, or on PATH.

    Raises:
        ServerFailed: there is none.
    """
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    path = shutil.which(name, path=places)
    if path is None:
        raise ServerFailed(f"There is no program {name}. Run `make install`, or put it on PATH.")
    return path


class Server(ABC):
    """One server with its files in one folder. A context manager: started on entry, gone on exit.

    `start` after `stop` or `kill` brings it back at the same address with its data. Start it from
    the main thread: on Linux it lives as long as the thread that started it. Not for use by several
    threads at once.
    """

    name: str

    def __init__(self, folder: Path, *, ports: Sequence[str]) -> None:
        self.folder = folder.absolute()
        self._reserved = {name: ReservedPort() for name in ports}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Give the command line; the program stays in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the server takes requests."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs; called before every start."""

    @property
    def stop_signal(self) -> signal.Signals:
        """The signal that ends it in good order, without waiting for its clients."""
        return signal.SIGTERM

    @property
    def address(self) -> str:
        """Where it listens, for people to read."""
        return f"127.0.0.1:{self.port(next(iter(self._reserved)))}"

    @property
    def log(self) -> Path:
        """The file that takes the server's output."""
        return self.folder / f"{self.name}.log"

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The id of its process; None while it does not run."""
        return self._process.pid if self._process is not None else None

    def port(self, name: str) -> int:
        """Give the number of a port by its name."""
        return self._reserved[name].number

    def start(self) -> None:
        """Start the server and wait until it is ready; nothing if it runs.

        Raises:
            ServerFailed: it ended, or was not ready in three minutes.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the server and do not wait for it."""
        if self.is_running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        tethered = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *self.command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tethered,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_plain_environment(),
                # Ctrl-C in the terminal must reach only us.
                process_group=0,
            )

    def wait_until_ready(self) -> None:
        """Wait until a launched server takes requests.

        Raises:
            ServerFailed: it ended, or was not ready in three minutes.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while self.is_running and time.monotonic() < deadline:
            if self.is_ready():
                return
            time.sleep(_POLL_SECONDS)
        self.kill()
        tail = self.log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
        raise ServerFailed(f"{self.name} did not start; {self.log} ends:\n{tail}")

    def stop(self) -> None:
        """Ask the server to end, and see that it does, with every process of its own."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill the server and every process of its own at once."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it answer nothing, though its connections stay and new ones are accepted."""
        self._signal(signal.SIGSTOP, self._family())

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT, self._family())

    def close(self) -> None:
        """Stop it for good: its ports are free again."""
        try:
            self.stop()
        finally:
            for port in self._reserved.values():
                port.close()

    def _end(self, wanted: signal.Signals) -> None:
        if self._process is None:
            return
        family = self._family()
        if wanted == signal.SIGKILL:
            self._signal(wanted, family)
        else:
            self._signal(signal.SIGCONT, family)  # a frozen process hears nothing
            self._signal(wanted, family[:1])
            psutil.wait_procs(family, timeout=_STOP_SECONDS)
            self._signal(signal.SIGKILL, family)
        self._process.wait()
        psutil.wait_procs(family, timeout=_STOP_SECONDS)
        self._process = None

    def _family(self) -> list[psutil.Process]:
        """The server's process first, then all that it started."""
        if self._process is None:
            return []
        try:
            head = psutil.Process(self._process.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @staticmethod
    def _signal(number: signal.Signals, processes: Sequence[psutil.Process]) -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _plain_environment() -> dict[str, str]:
    """Leave out what servers of this kind would take as their own settings or keys."""
    meant_for_others = ("AWS_", "PG", "WEED_")
    return {
        name: value for name, value in os.environ.items() if not name.startswith(meant_for_others)
    }
