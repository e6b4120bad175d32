"""Where and how exactly to compute: device, precision, threads, chosen once for a run."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from kdcore.process_cores import usable_cores

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Compute:
    """A device with the number format and CPU threads that a run uses on it."""

    device: torch.device
    precision: Precision
    num_threads: int

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """The format that matrix work is cast to, or None to leave float32 as it is."""
        return torch.bfloat16 if self.precision == "bfloat16" else None

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Run matrix work in bfloat16 if that is this run's precision."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_compute(
    *,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    num_threads: int | None = None,
) -> Compute:
    """Resolve "auto": CUDA if there is one, bfloat16 where the hardware has it, usable cores.

    On CPU, "auto" means float32: there results are bit-exact across interruptions.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if precision == "auto":
        has_bfloat16 = chosen.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        precision = "bfloat16" if has_bfloat16 else "float32"
    return Compute(chosen, precision, num_threads or usable_cores())


@contextlib.contextmanager
def computing(compute: Compute) -> Iterator[None]:
    """Set torch's process-wide settings for a run, and put them back."""
    threads = torch.get_num_threads()
    matmul = torch.get_float32_matmul_precision()
    benchmark = torch.backends.cudnn.benchmark
    torch.set_num_threads(compute.num_threads)
    if compute.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.benchmark = benchmark


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed what torch draws without a generator of its own, on `device` and on the CPU.

    As `torch.manual_seed` does for every device. On a machine without a GPU that one formats three
    stack traces, for devices that may come to life: half of what a step of a small network takes.
    """
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        is_named = ":" in str(device)  # cuda:1
        index = device.index if is_named else torch.cuda.current_device()
        torch.cuda.default_generators[index].manual_seed(seed)
