"""Writes a dataset in our own form, images appended as they come, nothing held whole in memory.

N images, H height, W width, C channels.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from kdcore.data.labels import check_class_counts
from kdcore.data.limits import MAX_DATASET_BYTES, SHARD_BYTES
from kdcore.data.npy_appender import NpyAppender
from kdcore.data.pixel_statistics import PixelStatistics
from kdcore.data.shard_writer import ShardWriter
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import (
    MAX_CHANNELS,
    MAX_SIDE,
    DatasetDescription,
    ImageShape,
    SplitDescription,
    SplitName,
)

DESCRIPTION_FILE = "dataset.json"


def labels_file(split: SplitName) -> str:
    """Name of the file that holds a split's labels."""
    return f"{split}-labels.npy"


@contextlib.contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes `destination` at the end, or vanishes on any error.

    Raises:
        OSError: If `destination` exists and is not an empty folder.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}."))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp gives 0o700; other users of the store read datasets
        folder.rename(destination)
        _sync_folder(destination.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Split:
    """The files of one split, and what is counted while they grow."""

    def __init__(self, folder: Path, split: SplitName, shape_HWC: tuple[int, int, int]) -> None:
        self._images = ShardWriter(folder, split, shape_HWC, shard_bytes=SHARD_BYTES)
        self._labels = NpyAppender(folder / labels_file(split), "<i8", ())
        self.class_counts = np.zeros(0, dtype=np.int64)

    def append(self, images_NHWC: npt.NDArray[np.uint8], labels_N: npt.NDArray[np.int64]) -> None:
        self._images.append(images_NHWC)
        self._labels.append(labels_N)
        counts = np.bincount(labels_N, minlength=len(self.class_counts))
        counts[: len(self.class_counts)] += self.class_counts
        self.class_counts = counts

    def describe(self, num_classes: int, num_skipped: int) -> SplitDescription:
        missing = num_classes - len(self.class_counts)
        images_sha256, shards = self._images.finish()
        return SplitDescription(
            num_examples=self._images.num_images,
            class_counts=(*self.class_counts.tolist(), *[0] * missing),
            images_sha256=images_sha256,
            labels_sha256=self._labels.finish(),
            num_skipped=num_skipped,
            shards=shards,
        )

    def close(self) -> None:
        self._images.close()
        self._labels.close()


def _checked_shape(shape_HWC: tuple[int, int, int]) -> ImageShape:
    height, width, channels = shape_HWC
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and 1 <= channels <= MAX_CHANNELS):
        raise DatasetRejected(
            "image_size_unsupported",
            f"Images of {height}×{width} pixels with {channels} channels are not supported: sides "
            f"have 1 to {MAX_SIDE} pixels, and there are 1 to {MAX_CHANNELS} channels.",
        )
    return ImageShape(channels=channels, height=height, width=width)


class CanonicalWriter:
    """Fills a folder with a canonical dataset; a context manager that closes its files."""

    def __init__(
        self,
        folder: Path,
        shape_HWC: tuple[int, int, int],
        *,
        max_bytes: int = MAX_DATASET_BYTES,
    ) -> None:
        """Open the files for images of one height, width and number of channels.

        `max_bytes` bounds the pixels of both splits.

        Raises:
            DatasetRejected: `image_size_unsupported`.
        """
        self._shape = _checked_shape(shape_HWC)
        self._folder = folder
        self._statistics = PixelStatistics(self._shape.channels)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="statistics")
        self._max_bytes = self._bytes_left = max_bytes
        self._splits: dict[SplitName, _Split] = {}
        self._splits["train"] = _Split(folder, "train", shape_HWC)
        self._splits["test"] = _Split(folder, "test", shape_HWC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        for split in self._splits.values():
            split.close()

    def append(
        self,
        split: SplitName,
        images_NHWC: npt.NDArray[np.uint8],
        labels_N: npt.NDArray[np.int64],
    ) -> None:
        """Add examples at the end of a split.

        Raises:
            DatasetRejected: `dataset_too_large`.
        """
        self._bytes_left -= images_NHWC.nbytes
        if self._bytes_left < 0:
            raise DatasetRejected(
                "dataset_too_large",
                f"The images have more than {self._max_bytes} bytes as pixels. "
                "Upload fewer or smaller images.",
            )
        # Counted while they are hashed and written.
        counting = (
            self._thread.submit(self._statistics.add, images_NHWC) if split == "train" else None
        )
        self._splits[split].append(images_NHWC, labels_N)
        if counting is not None:
            counting.result()

    def finish(
        self, *, name: str, class_names: Sequence[str], num_skipped: dict[SplitName, int]
    ) -> DatasetDescription:
        """Check the whole, write `dataset.json` last, and describe the dataset.

        Raises:
            DatasetRejected: As `kdcore.data.labels.check_class_counts` says.
        """
        check_class_counts(
            {split: files.class_counts.tolist() for split, files in self._splits.items()},
            class_names,
        )
        description = DatasetDescription(
            name=name,
            class_names=tuple(class_names),
            image=self._shape,
            splits={
                split: files.describe(len(class_names), num_skipped.get(split, 0))
                for split, files in self._splits.items()
            },
            mean=self._statistics.mean(),
            std=self._statistics.std(),
        )
        with (self._folder / DESCRIPTION_FILE).open("x") as file:
            file.write(description.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return description
