"""A child process as the worker holds it: spawned clean, spoken to in messages, ended for sure."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from pydantic import BaseModel, ValidationError

from kdstore.log import Fields, current_log_fields
from worker.forking import ForkRefused, ForkServer, ForkServerLost
from worker.messages import MESSAGE, Message
from worker.output import log_output
from worker.processes import ChildProcess, ExecutedProcess

_log = logging.getLogger(__name__)

ChildModule = Literal["worker.trainer_process", "worker.ingest_process"]

# All that a child inherits from the worker's environment: nothing that could hold a credential.
_INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "PYTORCH_ALLOC_CONF",
    "GOMP_SPINCOUNT",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "NCCL_DEBUG",
    "NCCL_P2P_DISABLE",
    "NCCL_SHM_DISABLE",
)

# Threads of OpenMP wait for one another at every operation. Spinning while they wait costs
# minutes where API, database or another worker share the cores: measured 25 times slower, on four
# cores with twice their load. So they spin shortly, then sleep.
_OPENMP = {"GOMP_SPINCOUNT": "1000"}

# Memory that training frees and takes again at every step stays with the process: measured
# about a tenth faster on CPU than giving it back to the system each time.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
}

# The processes of one job are on one machine: nobody else may reach what they listen on.
_RANKS_MEET = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}

# numpy's own threads start when it is imported, which no job needs, and forbid to fork.
_OPENBLAS = {"OPENBLAS_NUM_THREADS": "1"}

_MAX_MESSAGE_BYTES = 64 << 20

# The server may have died since it was last needed; one that dies again is no accident.
_FORK_TRIES = 2


class ChildGone(Exception):
    """The child has closed its end: no message will follow."""


def child_environment(
    own: Mapping[str, str], *, num_threads: int, temporary_folder: Path
) -> dict[str, str]:
    """Make the environment of a child from the worker's `own`, without its credentials."""
    inherited = {name: own[name] for name in _INHERITED if name in own}
    return {
        **_MALLOC,
        **_OPENMP,
        **_OPENBLAS,
        **_RANKS_MEET,
        **inherited,
        "OMP_NUM_THREADS": str(num_threads),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary_folder),
        # torch would put it below the temporary folder under the user's name, which a container
        # may not have.
        "TORCHINDUCTOR_CACHE_DIR": str(temporary_folder / "inductor"),
    }


class Child:
    """One running child. Safe to share: one thread receives, any may terminate or kill."""

    def __init__(self, process: ChildProcess, messages_fd: int) -> None:
        self._process = process
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        self.was_killed = False
        self._log_fields: Fields = {}
        self._readers = (
            threading.Thread(target=self._read_messages, args=(messages_fd,), daemon=True),
            threading.Thread(target=self._read_output, daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def order(self, order: BaseModel) -> None:
        """Send the one order. A child that is gone is noticed by `receive`, not here.

        From now on its output is logged with the fields that hold here: it works for these ids.
        """
        self._log_fields = current_log_fields()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(order.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, *, timeout_seconds: float) -> Message | None:
        """Take the next message; None when there was none in time.

        Raises:
            ChildGone: the child has closed its end and every message was taken.
        """
        try:
            message = self._messages.get(timeout=timeout_seconds)
        except Empty:
            return None
        if message is None:
            self._messages.put(None)
            raise ChildGone
        return message

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM)."""
        self._process.signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL), with all it may have started."""
        self.was_killed = True
        self._process.signal_group(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end, release what it held here, and return its status: -9 for SIGKILL."""
        status = self._process.wait()
        for reader in self._readers:
            reader.join()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        return status

    def _read_messages(self, descriptor: int) -> None:
        """Read lines until the end. A child that does not speak the protocol is killed."""
        with os.fdopen(descriptor, "rb") as pipe:
            try:
                while line := pipe.readline(_MAX_MESSAGE_BYTES):
                    if not line.endswith(b"\n"):  # it died within a message, or never ends one
                        self._process.signal_group(signal.SIGKILL)
                        break
                    self._messages.put(MESSAGE.validate_json(line))
            except ValidationError as error:
                _log.error(
                    "child spoke no known message",
                    extra={
                        **self._log_fields,
                        "pid": self.pid,
                        "detail": str(error.errors(include_input=False)[:1]),
                    },
                )
                self._process.signal_group(signal.SIGKILL)
            finally:
                self._messages.put(None)

    def _read_output(self) -> None:
        log_output(self._process.stdout, lambda: {**self._log_fields, "pid": self.pid})


class ChildSpawner:
    """Spawns children from one thread that lives as long as the worker.

    The kernel ends a child with the thread that spawned it (PR_SET_PDEATHSIG), not only with the
    whole process, so the threads of tasks must not spawn. Where the system allows it, children
    that train are forked by a server which has loaded torch; `can_fork=False` executes them all.
    """

    def __init__(
        self, *, num_threads: int, folder: Path, can_fork: bool = sys.platform == "linux"
    ) -> None:
        self._num_threads = num_threads
        self._folder = folder
        self._can_fork = can_fork
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
        self._forking = threading.Lock()
        self._server: ForkServer | None = None

    def spawn(self, module: ChildModule, *arguments: str) -> Child:
        """Start `python -m module arguments` in a session of its own, or its like by a fork."""
        child = self._fork(arguments) if module == "worker.trainer_process" else None
        return child or self._thread.submit(self._execute, module, arguments).result()

    def close(self) -> None:
        """End the server and the thread, and with them every child that is left."""
        with self._forking:
            self._drop_server()
        self._thread.shutdown()

    def _fork(self, arguments: tuple[str, ...]) -> Child | None:
        """Have a child forked; None if that cannot be, for now or for good."""
        with self._forking:
            for _ in range(_FORK_TRIES):
                if not self._can_fork:
                    break
                if self._server is None:
                    self._server = self._thread.submit(self._start_server).result()
                try:
                    return Child(*self._server.fork(arguments))
                except ForkServerLost:
                    _log.warning("fork server lost", extra={"pid": self._server.pid})
                    self._drop_server()
                except ForkRefused as refused:
                    _log.error("children cannot be forked", extra={"detail": refused.reason})
                    self._can_fork = False
                    self._drop_server()
        return None

    def _drop_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _start_server(self) -> ForkServer:
        return ForkServer(environment=self._environment(), folder=self._folder)

    def _execute(self, module: ChildModule, arguments: tuple[str, ...]) -> Child:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(
                # -P: nothing in the working folder can be imported.
                [sys.executable, "-P", "-m", module, "--events-fd", str(writing), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                cwd=self._folder,
                env=self._environment(),
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return Child(ExecutedProcess(process), reading)

    def _environment(self) -> dict[str, str]:
        return child_environment(
            os.environ, num_threads=self._num_threads, temporary_folder=self._folder
        )
