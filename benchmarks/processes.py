"""Finding the processes of the service that a benchmark started, and what they hold."""

import os
from pathlib import Path


def find_process(module: str) -> int:
    """Find the process below this one that runs `python -m <module>`."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if ["-m", module] == words[-3:-1] and _is_below(int(path.parent.name)):
            return int(path.parent.name)
    raise AssertionError(f"no process runs python -m {module}")


def _is_below(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def peak_bytes(pid: int) -> int:
    """Read the most memory that a process has held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("Linux tells VmHWM")


def forget_peak(pid: int) -> None:
    """Let `peak_bytes` begin anew from what a process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
