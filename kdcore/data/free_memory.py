"""How much memory there is for images: of a GPU, or of this process on its machine."""

import os
from pathlib import Path

import torch

from kdcore.process_memory import left_of_limit

_KIBIBYTE = 1024
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device, *, num_processes: int = 1) -> int:
    """Count the bytes that this process can still take on a device.

    On a GPU, what the driver has and what torch keeps unused. Elsewhere the least of what the
    machine and the container have, shared by the processes of the job, and of what this
    process' own limit leaves (RLIMIT_DATA, which files mapped to memory do not count for).

    Args:
        device: Where.
        num_processes: How many processes of this job look at the same moment.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    shared = min([_available_on_machine(), *_left_in_container(_CGROUP)])
    own = left_of_limit()
    free = max(0, shared // num_processes)
    return free if own is None else min(free, own)


def _available_on_machine() -> int:
    facts = _numbers(_MEMINFO)
    if "MemAvailable" in facts:
        return facts["MemAvailable"] * _KIBIBYTE
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_container(cgroup: Path) -> list[int]:
    """Give what a memory limit leaves, pages of files not counted that can be dropped; or none."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
    except OSError:
        return []
    if not limit.isdigit():
        return []
    return [int(limit) - used + _numbers(cgroup / "memory.stat").get("inactive_file", 0)]


def _numbers(path: Path) -> dict[str, int]:
    """Read lines such as `MemAvailable:  123 kB` or `inactive_file 123`; nothing if not there."""
    try:
        lines = [line.replace(":", " ").split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
