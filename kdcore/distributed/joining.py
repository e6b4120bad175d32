"""How a process finds the others: over a file, on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from kdcore.distributed.world import World
from kdcore.errors import IncompatibleInputs

# Longer than any checkpoint takes to write: the others wait for rank 0.
_TIMEOUT = timedelta(minutes=30)
# Every group that was joined, until the process ends. Whoever lets go of one of gloo last, such as
# DDP's reducer, waits for its threads and holds the interpreter's lock; one of them may need that
# lock to let go of the last tensors that it has sent, and both wait for ever (torch 2.13).
_LEFT: list[dist.ProcessGroup | None] = []


@contextmanager
def joined(*, rank: int, size: int, store: Path, device: torch.device) -> Iterator[World]:
    """Join the other processes, and leave them at the end.

    Tensors travel by NCCL between GPUs and by gloo between CPUs. Which network interface they
    take is for `GLOO_SOCKET_IFNAME` and `NCCL_SOCKET_IFNAME` in the environment.

    Args:
        rank: From 0; a number of this process' own.
        size: Of the world.
        store: A file that all of them see and that nobody has used before.
        device: That this process trains on.
    """
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if is_cuda else "gloo",
        init_method=store.absolute().as_uri(),
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
    )
    _LEFT.append(dist.group.WORLD)
    try:
        host_group = dist.new_group(backend="gloo", timeout=_TIMEOUT) if is_cuda else None
        _LEFT.append(host_group)
        yield World(rank, size, host_group)
    finally:
        dist.destroy_process_group()


def device_of_rank(device: str, rank: int) -> str:
    """Give the device of one rank: its own GPU, or the CPU that all share.

    `device` is what a job that runs alone would get: auto, cpu, cuda, cuda:0.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{rank}" if torch.device(device).type == "cuda" else device


def count_gpus(device: str) -> int:
    """Count the GPUs that a job on `device` can have: 1 for one that is named, such as cuda:1."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(device).type != "cuda":
        return 0
    return 1 if ":" in device else torch.cuda.device_count()


def check_devices(device: str, num_processes: int) -> None:
    """Check that each process can have a device; a CPU has room for all.

    Raises:
        IncompatibleInputs: `too_few_gpus`.
    """
    num_gpus = count_gpus(device)
    if device_of_rank(device, 0) != "cpu" and num_processes > num_gpus:
        raise IncompatibleInputs(
            "too_few_gpus",
            f"{num_processes} processes need a GPU each, and there are {num_gpus}. Lower "
            "resources.num_processes, or train where there are more.",
            pointer="/resources/num_processes",
        )
