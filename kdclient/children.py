"""Child processes that are stopped together and never outlive this one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdclient import tether
from kdclient.errors import ServiceDied

_LONG_LOG_BYTES = 10 * 1024 * 1024
_TAIL_BYTES = 8192
_TAIL_LINES = 15
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Child:
    """A running module of ours, in a process group of its own, writing to a log file."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path
    log_start: int  # where this run's lines begin

    def log_tail(self) -> str:
        """The last lines that this run wrote."""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_start, size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def raise_if_dead(self) -> None:
        """Raise ServiceDied if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise self.died(_describe_exit(code))

    def died(self, what: str) -> ServiceDied:
        """The error that says what happened to it."""
        return ServiceDied(self.name, what=what, log_path=self.log_path, log_tail=self.log_tail())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group, if any of it is left."""
        # The number is the group's while a member lives, and not handed out again at once after.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def start(
    name: str,
    module: Sequence[str],
    *,
    environment: Mapping[str, str],
    log_folder: Path,
    stdout: int | None = None,
) -> Child:
    """Start `python -m module`, tied to the calling thread's life (Linux). Logs go to a file.

    A log that has grown long is put aside first, over the one put aside before.

    `module`: its name and arguments. `stdout`: as subprocess takes it; None: into the log, too.
    """
    log_folder.mkdir(parents=True, exist_ok=True)
    log_path = log_folder / f"{name}.log"
    if log_path.exists() and log_path.stat().st_size > _LONG_LOG_BYTES:
        log_path.replace(log_path.with_suffix(".log.1"))
    with log_path.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            tethered_command(module),
            stdin=subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            # Ctrl-C in the terminal must reach only us: we stop the children in order.
            process_group=0,
        )
        return Child(name=name, process=process, log_path=log_path, log_start=log_start)


def tethered_command(module: Sequence[str]) -> list[str]:
    """The command that runs `python -m module` until this process ends."""
    # -P: a folder named like our package in the working directory must not be run instead.
    program = [sys.executable, "-P", "-m", *module]
    return [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *program]


def stop(children: Sequence[Child], *, grace_seconds: float) -> None:
    """Ask all to end, wait up to `grace_seconds`, kill what is left. Ctrl-C cuts it short."""
    try:
        for child in children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline and any(c.process.poll() is None for c in children):
            time.sleep(_POLL_SECONDS)
    finally:
        for child in children:
            child.signal(signal.SIGKILL)  # also what the child itself left behind
            child.process.wait()


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
