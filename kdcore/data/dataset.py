"""A canonical dataset opened for reading: memory-mapped, so that its size costs no memory.

N examples, M of them, H height, W width, C channels.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from kdcore.data.canonical import DESCRIPTION_FILE, labels_file
from kdcore.data.image_rows import ImageRows, Images, Pixels, choose_images
from kdcore.data.limits import CHUNK_BYTES
from kdcore.data.shard_writer import images_file, shard_file
from kdcore.errors import DatasetDamaged
from kdcore.spec.datasets import DatasetDescription, SplitDescription, SplitName


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images and labels of one split.

    Attributes:
        images_NHWC: uint8; an array, maybe a read-only memory map, or `ImageRows`, which is
            indexed like one along its first axis.
        labels_N: int64, from 0.
    """

    images_NHWC: Images
    labels_N: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels_N)

    def subset(self, indices_M: npt.NDArray[np.int64]) -> "ArraySplit":
        """Give the examples at these positions as a split of their own; images are not copied."""
        return ArraySplit(choose_images(self.images_NHWC, indices_M), self.labels_N[indices_M])

    def rows(self, first: int, end: int) -> "ArraySplit":
        """Give the examples from `first` up to `end` as a split of their own, without a copy."""
        images = self.images_NHWC
        return ArraySplit(
            images.choose(np.arange(first, end))
            if isinstance(images, ImageRows)
            else images[first:end],
            self.labels_N[first:end],
        )


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """A dataset as images and labels for each split."""

    description: DatasetDescription
    train: ArraySplit
    test: ArraySplit

    def split(self, name: SplitName) -> ArraySplit:
        """Give a split by its name."""
        return self.train if name == "train" else self.test


def load_dataset(folder: Path, *, verify: bool = False) -> ArrayDataset:
    """Open a canonical dataset folder.

    Args:
        folder: Written by `ingest` or `builtin`.
        verify: Read all pixels and labels once and compare their sha256. Worth it after the
            folder has travelled.

    Raises:
        DatasetDamaged: If a file is missing or is not what `dataset.json` says.
    """
    try:
        text = (folder / DESCRIPTION_FILE).read_bytes()
        description = DatasetDescription.model_validate_json(text)
    except (OSError, ValidationError) as error:
        raise DatasetDamaged(
            f"{DESCRIPTION_FILE} of the dataset is missing or unreadable; ingest it again."
        ) from error
    return ArrayDataset(
        description,
        train=_open_split(folder, description, "train", verify=verify),
        test=_open_split(folder, description, "test", verify=verify),
    )


def _open_split(
    folder: Path, description: DatasetDescription, name: SplitName, *, verify: bool
) -> ArraySplit:
    split = description.splits[name]
    images = _open_images(folder, description, name, verify=verify)
    labels_N = _open_array(folder / labels_file(name), np.dtype("<i8"), (split.num_examples,))
    if verify:
        _verify(labels_file(name), _digest(labels_N), split.labels_sha256)
    _check_labels(labels_N, split, name)
    return ArraySplit(images, labels_N)


def _open_images(
    folder: Path, description: DatasetDescription, name: SplitName, *, verify: bool
) -> Images:
    """Open the one file of a split's images, as all were once written, or its shards."""
    split, image = description.splits[name], description.image
    shards = {
        shard_file(name, index): (shard.num_examples, shard.sha256)
        for index, shard in enumerate(split.shards)
    } or {images_file(name): (split.num_examples, split.images_sha256)}
    opened: list[Pixels] = []
    whole = hashlib.sha256()
    for file, (num_examples, sha256) in shards.items():
        shape = (num_examples, image.height, image.width, image.channels)
        opened.append(_open_array(folder / file, np.dtype(np.uint8), shape))
        if verify:
            _verify(file, _digest(opened[-1], whole if split.shards else None), sha256)
    if verify and split.shards:
        _verify(f"{name} images", whole.hexdigest(), split.images_sha256)
    return opened[0] if len(opened) == 1 else ImageRows(opened)


def _open_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetDamaged(
            f"{path.name} of the dataset is missing or unreadable; ingest it again."
        ) from error
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise DatasetDamaged(f"{path.name} is not the array that {DESCRIPTION_FILE} describes.")
    # A plain view of the map: numpy.memmap's own bookkeeping slows every slice.
    plain: npt.NDArray[Any] = array.view(np.ndarray)
    return plain


def _digest(array: npt.NDArray[Any], whole: "hashlib._Hash | None" = None) -> str:
    """Give the sha256 of an array's bytes, which also go into `whole`."""
    digest = hashlib.sha256()
    bytes_view = array.reshape(-1).view(np.uint8)
    for start in range(0, len(bytes_view), CHUNK_BYTES):
        chunk = bytes_view[start : start + CHUNK_BYTES].data
        digest.update(chunk)
        if whole is not None:
            whole.update(chunk)
    return digest.hexdigest()


def _verify(name: str, found: str, sha256: str) -> None:
    if found != sha256:
        raise DatasetDamaged(f"The content of {name} does not match its sha256; ingest it again.")


def _check_labels(labels_N: npt.NDArray[np.int64], split: SplitDescription, name: str) -> None:
    """See that labels lie in range and count up: an index out of range kills a CUDA process."""
    num_classes = len(split.class_counts)
    in_range = labels_N.min() >= 0 and labels_N.max() < num_classes
    if not in_range or tuple(np.bincount(labels_N, minlength=num_classes)) != split.class_counts:
        raise DatasetDamaged(f"The {name} labels are not those that {DESCRIPTION_FILE} counts.")
