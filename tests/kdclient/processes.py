"""Which processes live, told by pid and start time, so that a reused pid is nobody's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Process:
    """One process of this machine."""

    pid: int
    started: str


def _table() -> dict[int, tuple[int, Process]]:
    """All processes that have not ended, with their parent's pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if fields[0] != "Z":
            pid = int(path.parent.name)
            found[pid] = (int(fields[1]), Process(pid, fields[19]))
    return found


def family_of(pid: int) -> set[Process]:
    """A process and all its descendants."""
    table = _table()
    pids, grown = {pid}, True
    while grown:
        more = {child for child, (parent, _) in table.items() if parent in pids} - pids
        pids |= more
        grown = bool(more)
    return {table[each][1] for each in pids if each in table}


def still_alive(processes: set[Process]) -> set[Process]:
    """Those that have not ended."""
    return processes & {process for _, process in _table().values()}


def wait_until(is_true: Callable[[], bool], *, what: str) -> None:
    """Wait until something is so; fail after a minute."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_true():
        assert time.monotonic() < deadline, f"waited a minute for: {what}"
        time.sleep(0.02)
