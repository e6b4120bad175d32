"""The cores that this process may use. Free of torch."""

import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Count the cores that this process may run on, at least one.

    Those of its affinity mask, or fewer where its container has a quota of processor time, which
    the mask does not show (`cpu.max` of Linux' cgroups v2: `--cpus` of Docker, `limits.cpu` of
    Kubernetes). Of two and a half cores two count: threads beyond a quota stop all the others for
    the rest of each period.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min([cores, *_quota()]))


def _quota() -> list[int]:
    """Give the whole cores that the container's quota allows; nothing where there is none."""
    try:
        quota, period = _CPU_MAX.read_text().split()
    except (OSError, ValueError):
        return []
    return [int(quota) // int(period)] if quota.isdigit() else []
