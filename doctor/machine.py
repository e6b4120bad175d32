"""This machine: its disk, and whether training can run here."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from doctor.findings import Finding
from kdstore.settings import GIBIBYTE, Settings

_LEAST_BYTES = GIBIBYTE
_ENOUGH_BYTES = 10 * GIBIBYTE
_TORCH_SECONDS = 120.0

# In a process of its own: torch that does not fit may end its process, and takes seconds to load.
_TRY_TORCH = """
import json, sys, torch
wanted = sys.argv[1]
device = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
torch.ones(2, device=device).sum().item()
try:
    import torchvision
    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    fits = torchvision.__version__
except Exception:
    fits = None
print(json.dumps([torch.__version__, fits, device]))
"""


def examine_disk(settings: Settings, *, can_train: bool) -> Finding:
    """Write a file into the data folder, and see what is free there, if anything uses it."""
    elsewhere = (settings.database_url, settings.broker_url, settings.objects_url)
    if not can_train and all(url.get_secret_value() for url in elsewhere):
        return Finding("disk", "not here", "not needed: nothing is kept here, and nothing trains")
    folder = settings.data_dir.absolute()
    place = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            free_bytes = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(
            "disk",
            "failed",
            f"the data folder cannot be written ({type(error).__name__})",
            "Let the user that runs Potstill own POTSTILL_DATA_DIR.",
        )
    detail = f"{free_bytes / GIBIBYTE:.1f} GiB free"
    advice = "A worker needs room for its cache and its work; see docs/runbook/disk-full.md."
    if free_bytes < _LEAST_BYTES:
        return Finding("disk", "failed", detail, advice)
    if free_bytes < _ENOUGH_BYTES:
        return Finding("disk", "warning", detail, advice)
    return Finding("disk", "ok", detail)


def examine_torch(
    settings: Settings, *, can_train: bool, python: str = sys.executable
) -> Iterator[Finding]:
    """Compute something on the device in a process of its own, and call into torchvision."""
    if not can_train:
        yield Finding("torch", "not here", "no torch: this installation does not train")
        return
    command = [python, "-P", "-c", _TRY_TORCH, settings.device]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=_TORCH_SECONDS, check=True)
        torch, torchvision, device = json.loads(tried.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        yield Finding(
            "torch",
            "failed",
            f"cannot compute on {settings.device}",
            "Check POTSTILL_DEVICE, the driver, and torch's version in constraints.txt.",
        )
        return
    yield Finding("torch", "ok", f"{torch} computes on {device}")
    if torchvision is not None:
        yield Finding("torchvision", "ok", f"{torchvision} fits it")
        return
    yield Finding(
        "torchvision",
        "failed",
        f"does not fit torch {torch}: no network torchvision/… can be built",
        "Install both again from one package index, in the versions of constraints.txt.",
    )
