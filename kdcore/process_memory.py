"""The data of this process, as RLIMIT_DATA counts it: what it writes to, not the files it maps."""

import resource
from pathlib import Path

_KIBIBYTE = 1024
_STATUS = Path("/proc/self/status")


def data_bytes() -> int | None:
    """Count the bytes of data that this process has; None where the system does not tell."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == "VmData":
            return int(value.split()[0]) * _KIBIBYTE
    return None


def limit_data(more_bytes: int) -> None:
    """Let this process take so much data beyond what it has now, and no more, for good.

    A lower limit stays. Does nothing where the system does not tell what the process has.
    """
    used = data_bytes()
    if used is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + more_bytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def left_of_limit() -> int | None:
    """Count the bytes of data that this process may still take; None if there is no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    used = data_bytes()
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return max(0, limit - used)
