"""Where and with what a job ran: device, threads, versions, revision."""

import importlib.metadata
import platform
import re
from pathlib import Path

import torch

import kdcore
from kdcore.devices import Compute
from kdcore.evaluation.revision import git_revision
from kdcore.report import Environment

_PACKAGES = ("torch", "torchvision", "numpy")
_CPU_INFO = Path("/proc/cpuinfo")


def describe_environment(compute: Compute, *, seed: int) -> Environment:
    """Describe the machine and software that `compute` runs on. Imports nothing more."""
    versions = {"potstill": kdcore.__version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _PACKAGES if _has(name)}
    if compute.device.type == "cuda" and torch.version.cuda is not None:
        versions["cuda"] = torch.version.cuda
    return Environment(
        device=str(compute.device),
        device_name=device_name(compute.device),
        num_threads=compute.num_threads,
        precision=compute.precision,
        seed=seed,
        versions=versions,
        revision=git_revision(Path(kdcore.__file__).parent.parent),
    )


def device_name(device: torch.device) -> str:
    """Name the GPU or the CPU model, as the system tells it; else the machine type."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    text = _CPU_INFO.read_text(encoding="utf-8") if _CPU_INFO.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()


def _has(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
