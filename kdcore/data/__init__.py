"""Datasets: strangers' formats in, canonical uint8 arrays out, batched views on the device.

Only the views need torch. They load it when they are first asked for: a process that decodes
images starts in a fraction of a second.
"""

from typing import TYPE_CHECKING

from kdcore.data.builtin import BUILTIN_NAMES, builtin
from kdcore.data.dataset import ArrayDataset, ArraySplit, load_dataset
from kdcore.data.ingest import DatasetFormat, ingest
from kdcore.spec.datasets import DatasetDescription, ImageShape, SplitDescription, SplitName

if TYPE_CHECKING:
    from kdcore.data.views import Batch, EvalView, TrainView

__all__ = [
    "BUILTIN_NAMES",
    "ArrayDataset",
    "ArraySplit",
    "Batch",
    "DatasetDescription",
    "DatasetFormat",
    "EvalView",
    "ImageShape",
    "SplitDescription",
    "SplitName",
    "TrainView",
    "builtin",
    "ingest",
    "load_dataset",
]


def __getattr__(name: str) -> object:
    if name not in ("Batch", "EvalView", "TrainView"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kdcore.data import views  # noqa: PLC0415 - loads torch

    return getattr(views, name)
