"""What this worker has for a job: its kind of device, how many, and how much memory."""

import os
import subprocess
from pathlib import Path

from kdstore.capacity import Capacity, device_kind

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
_ASK_SECONDS = 10.0
_MEBIBYTE = 2**20


def measure_capacity(device: str, *, num_threads: int, num_gpus: int) -> Capacity:
    """Find out what a worker on `device` has. Opens no GPU: that would hold its memory.

    On CPU several processes of a job share the cores, at most one on each; on GPUs each has one of
    the `num_gpus` that its training process sees.
    """
    if device_kind(device) == "cpu":
        return Capacity("cpu", max_processes=num_threads, memory_bytes=_machine_memory())
    return Capacity("gpu", max_processes=max(1, num_gpus), memory_bytes=_gpu_memory())


def _machine_memory() -> int:
    """Give the machine's memory, or the container's where that has less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical


def _gpu_memory() -> int | None:
    """Give the memory of the machine's smallest GPU; None where the driver does not tell."""
    try:
        told = subprocess.run(
            _NVIDIA_SMI, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
        )
        return min(int(line) for line in told.stdout.split()) * _MEBIBYTE
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
