"""The one place that imports torchvision, late, and also beside a torch of another build.

torchvision's compiled operators load only beside the torch build they were compiled for. The
wheels on the package index are compiled for CUDA, so beside a CPU-only torch they cannot load,
and then `import torchvision` fails in registering shapes for two operators of object detection
(`nms`, `qnms`) that do not exist. No classifier uses them. Here, and only where the compiled
operators cannot load, the two are declared by their schemas, without an implementation: the
import succeeds, classifiers work, and calling either operator would still fail loudly. Where
torchvision matches torch nothing is declared.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import torch

_DETECTION_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def import_torchvision_models() -> ModuleType:
    """Import and give `torchvision.models`; the first call takes about two seconds.

    Raises:
        ImportError: torchvision is not installed.
    """
    _declare_detection_operators()
    return importlib.import_module("torchvision.models")


@functools.cache
def _declare_detection_operators() -> torch.library.Library | None:
    """Declare what is missing; the library stays in the cache, for it undeclares when freed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError(
            "torchvision is not installed; install potstill[core] to use torchvision/<name>."
        )
    if _compiled_operators_load(Path(spec.origin).parent):
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch.library has no types
    for schema in _DETECTION_SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]  # torch.library has no types
    return library


def _compiled_operators_load(folder: Path) -> bool:
    loaders = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    spec = importlib.machinery.FileFinder(str(folder), loaders).find_spec("_C")
    if spec is None or spec.origin is None:
        return False
    try:
        torch.ops.load_library(spec.origin)  # type: ignore[no-untyped-call]  # torch.ops has no types
    except OSError:
        return False
    return True
