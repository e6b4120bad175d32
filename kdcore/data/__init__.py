"""Datasets: strangers' formats in, one canonical uint8 array out, batched views on the device."""

from kdcore.data.builtin import BUILTIN_NAMES, builtin
from kdcore.data.dataset import ArrayDataset, ArraySplit, load_dataset
from kdcore.data.ingest import DatasetFormat, ingest
from kdcore.data.views import Batch, EvalView, TrainView
from kdcore.spec.datasets import DatasetDescription, ImageShape, SplitDescription, SplitName

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
