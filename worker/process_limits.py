"""Limits that a child sets itself before it does what it is told; never loosened."""

import resource
from pathlib import Path

from worker.messages import IngestLimits

_KIBIBYTE = 1024


def apply_limits(limits: IngestLimits) -> None:
    """Limit this process for good: data, file size, CPU time, no core dump.

    RLIMIT_DATA and not RLIMIT_AS: torch and its libraries map far more address space than they
    use, while data is what a stranger's file can make the process take.
    """
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, limits.cpu_seconds)
    _set(resource.RLIMIT_FSIZE, limits.file_bytes)
    limit_memory(limits.memory_bytes)


def limit_memory(more_bytes: int) -> None:
    """Let this process take so much data beyond what it has now, and no more, for good."""
    _set(resource.RLIMIT_DATA, data_bytes() + more_bytes)


def data_bytes() -> int:
    """Bytes of data that this process has, as RLIMIT_DATA counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmData":
            return int(value.split()[0]) * _KIBIBYTE
    raise AssertionError("Linux tells VmData in /proc/self/status")


def _set(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
