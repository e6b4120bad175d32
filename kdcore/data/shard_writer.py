"""Writes a split's images: one file while they are few, else shards of a bounded size.

N images, H height, W width, C channels.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdcore.data.npy_appender import NpyAppender
from kdcore.data.running_digest import RunningDigest
from kdcore.spec.datasets import ShardDescription, SplitName


def images_file(split: SplitName) -> str:
    """Name of the file that holds all images of a split, if one does."""
    return f"{split}-images.npy"


def shard_file(split: SplitName, index: int) -> str:
    """Name of the file that holds one of several shards of a split's images."""
    return f"{split}-images-{index:05}.npy"


class ShardWriter:
    """Appends images to the newest shard, and begins another when that is full.

    Images that fit into one shard are written to a single file without a number.

    Attributes:
        num_images: How many there are so far.
    """

    def __init__(
        self, folder: Path, split: SplitName, shape_HWC: tuple[int, int, int], *, shard_bytes: int
    ) -> None:
        self._folder = folder
        self._split = split
        self._shape_HWC = shape_HWC
        self._shard_images = max(1, shard_bytes // int(np.prod(shape_HWC)))
        self._whole: RunningDigest | None = None
        self._shards: list[ShardDescription] = []
        self._newest = NpyAppender(folder / images_file(split), "|u1", shape_HWC)
        self.num_images = 0

    def append(self, images_NHWC: npt.NDArray[np.uint8]) -> None:
        """Write images at the end."""
        start = 0
        while start < len(images_NHWC):
            if self._newest.num_rows == self._shard_images:
                self._begin_shard()
            end = start + self._shard_images - self._newest.num_rows
            part = np.ascontiguousarray(images_NHWC[start:end])
            finish_digest = self._whole.begin(part) if self._whole else None
            self._newest.append(part)
            if finish_digest is not None:
                finish_digest()
            self.num_images += len(part)
            start += len(part)

    def finish(self) -> tuple[str, tuple[ShardDescription, ...]]:
        """Complete the newest file; return the sha256 of all pixels, and the shards if several."""
        sha256 = self._newest.finish()
        if self._whole is None:
            return sha256, ()
        newest = ShardDescription(num_examples=self._newest.num_rows, sha256=sha256)
        return self._whole.hexdigest(), (*self._shards, newest)

    def close(self) -> None:
        """Close the newest file, finished or not."""
        self._newest.close()
        if self._whole is not None:
            self._whole.close()

    def _begin_shard(self) -> None:
        if self._whole is None:
            # Only now it is known that there are several; so far one digest served for both.
            self._whole = self._newest.fork_digest()
            first = self._folder / images_file(self._split)
            first.rename(self._folder / shard_file(self._split, 0))
        sha256 = self._newest.finish()
        self._newest.close()
        self._shards.append(ShardDescription(num_examples=self._newest.num_rows, sha256=sha256))
        path = self._folder / shard_file(self._split, len(self._shards))
        self._newest = NpyAppender(path, "|u1", self._shape_HWC)
