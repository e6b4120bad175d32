"""Whether the kernel killed a process for want of memory, which SIGKILL alone does not tell."""

from pathlib import Path

_VMSTAT = Path("/proc/vmstat")


def count_oom_kills(vmstat: Path = _VMSTAT) -> int | None:
    """Count the processes that this machine's kernel has killed for want of memory since it booted.

    Those of other containers count too, so a rise while a child was killed is strong evidence,
    not proof. None where the system does not tell (Linux before 4.13, or no `/proc`).
    """
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None


class OomEvidence:
    """Remembers the count from before a child; made when the child gets its order."""

    def __init__(self) -> None:
        self._before = count_oom_kills()

    def is_there(self) -> bool:
        """Tell whether the kernel has killed for want of memory since."""
        after = count_oom_kills()
        return self._before is not None and after is not None and after > self._before
