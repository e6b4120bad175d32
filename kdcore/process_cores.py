"""The cores that this process may use. Free of torch."""

import os


def usable_cores() -> int:
    """Count the cores that this process may run on, where the system tells; else all."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
