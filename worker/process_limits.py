"""Limits that a child sets itself before it does what it is told; never loosened."""

import resource

from kdcore.process_memory import limit_data
from worker.messages import IngestLimits


def apply_limits(limits: IngestLimits) -> None:
    """Limit this process for good: data, file size, CPU time, no core dump.

    RLIMIT_DATA and not RLIMIT_AS: torch and its libraries map far more address space than they
    use, while data is what a stranger's file can make the process take.
    """
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_CPU, limits.cpu_seconds)
    _set(resource.RLIMIT_FSIZE, limits.file_bytes)
    limit_data(limits.memory_bytes)


def _set(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
