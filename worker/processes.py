"""A child's process as the worker holds it: executed by the worker, or forked by its server."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from typing import IO, Protocol

from worker.fork_protocol import Ended, receive_answer

# How long after the end of a child its server may take to tell how it ended.
_TELLING_SECONDS = 5.0


class ChildProcess(Protocol):
    """A process that leads a session of its own. One thread waits; any may poll and signal."""

    @property
    def pid(self) -> int:
        """The process id, and that of its group."""

    @property
    def stdin(self) -> IO[bytes]:
        """Where it reads."""

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes, to stderr as well."""

    def poll(self) -> int | None:
        """Give its status if it has ended: -9 for SIGKILL."""

    def wait(self) -> int:
        """Wait for its end, and give its status."""

    def signal_group(self, number: signal.Signals) -> None:
        """Signal it and all it has started, unless it has ended: never another process."""


class ExecutedProcess:
    """A process that the worker has started itself: its memory is its own from the beginning."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("children have pipes as stdin and stdout")
        self.pid = process.pid
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self._process = process
        self._signals = threading.Lock()

    def poll(self) -> int | None:
        """Give its status if it has ended."""
        with self._signals:
            return self._process.poll()

    def wait(self) -> int:
        """Wait for its end."""
        if sys.platform == "linux":
            # Without collecting it, which frees its id: that happens under the lock.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._signals:
            return self._process.wait()

    def signal_group(self, number: signal.Signals) -> None:
        """Signal its group. Under a lock and after poll: its id cannot be another's by now."""
        with self._signals:
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)


class ForkedProcess:
    """A child of the fork server, which tells its status on `line`.

    The server collects it when the line is closed here, so its id is its own until then. When
    the server dies, the kernel kills its children.
    """

    def __init__(
        self, pid: int, *, handle: int, line: socket.socket, stdin: IO[bytes], stdout: IO[bytes]
    ) -> None:
        self.pid = pid
        self._handle = handle
        self.stdin = stdin
        self.stdout = stdout
        self._line = line
        self._status: int | None = None
        self._signals = threading.Lock()

    def poll(self) -> int | None:
        """Give its status if it has ended."""
        with self._signals:
            return self._poll()

    def wait(self) -> int:
        """Wait for its end, and let the server collect it."""
        if self._line.fileno() >= 0:
            _wait_readable(self._handle)
            # A server that is frozen tells nothing.
            _wait_readable(self._line, max_seconds=_TELLING_SECONDS)
            with self._signals:
                status = self._poll()
                self._status = -signal.SIGKILL if status is None else status
                self._line.close()
            os.close(self._handle)
        if self._status is None:
            raise AssertionError("the line is closed once the status is known")
        return self._status

    def signal_group(self, number: signal.Signals) -> None:
        """Signal its group, unless it has ended."""
        with self._signals:
            if self._poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)

    def _poll(self) -> int | None:
        if self._status is None:
            try:
                answer = receive_answer(self._line, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            self._status = answer.status if isinstance(answer, Ended) else -signal.SIGKILL
            # Not closed: another thread may be waiting for it to become readable, as it does now.
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        return self._status


def _wait_readable(file: socket.socket | int, *, max_seconds: float | None = None) -> None:
    waiting = select.poll()
    waiting.register(file, select.POLLIN)
    waiting.poll(None if max_seconds is None else max_seconds * 1000)
