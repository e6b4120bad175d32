"""Images that lie in several arrays, or are some of an array's, read as if they were one array.

N images, B of them, M chosen ones, S shards, H height, W width, C channels.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


class ImageRows:
    """uint8 images in shards, most likely memory maps; what is read is copied, nothing is held.

    Indexed like the one array that it stands for, along the first axis alone. Safe for several
    threads.

    Attributes:
        shape: N, H, W, C.
        dtype: uint8.
    """

    def __init__(self, shards: Sequence[Pixels], chosen_N: Positions | None = None) -> None:
        """Stand for the shards one after another, or for their images at `chosen_N`."""
        self._shards_S = tuple(shards)
        self._chosen_N = chosen_N
        ends_S = np.cumsum([len(shard) for shard in shards])
        self._starts_S = ends_S - [len(shard) for shard in shards]
        num_images = int(ends_S[-1]) if chosen_N is None else len(chosen_N)
        self.shape: tuple[int, ...] = (num_images, *shards[0].shape[1:])
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Pixels]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int | np.integer | slice | Sequence[int] | Positions) -> Pixels:
        if isinstance(index, int | np.integer):
            image_HWC: Pixels = self[[range(len(self))[index]]][0]
            return image_HWC
        if isinstance(index, slice):
            rows_B = np.arange(*index.indices(len(self)))
        else:
            rows_B = np.asarray(index)
            if rows_B.dtype.kind not in "iu":
                raise TypeError("images are picked by their positions: numpy.flatnonzero of a mask")
        images_BHWC = np.empty((len(rows_B), *self.shape[1:]), dtype=np.uint8)
        self.read_into(images_BHWC, rows_B)
        return images_BHWC

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Pixels:
        if copy is False:
            raise ValueError("images in shards become an array only by a copy")
        del dtype  # numpy converts what it gets
        return self[:]

    def choose(self, rows_M: Positions) -> "ImageRows":
        """Give the images at these positions, without reading them."""
        chosen_M = rows_M if self._chosen_N is None else self._chosen_N[rows_M]
        return ImageRows(self._shards_S, chosen_M)

    def read_into(self, images_BHWC: Pixels, rows_B: Positions) -> None:
        """Copy the images at these positions.

        Raises:
            IndexError: If there is no such image; positions count from 0 and never backwards.
        """
        if len(rows_B) and not (rows_B.min() >= 0 and rows_B.max() < len(self)):
            raise IndexError(f"positions from {rows_B.min()} to {rows_B.max()} of {len(self)}")
        chosen_B = rows_B if self._chosen_N is None else self._chosen_N[rows_B]
        if len(self._shards_S) == 1:
            _copy_rows(self._shards_S[0], chosen_B, images_BHWC)
            return
        shard_B = np.searchsorted(self._starts_S, chosen_B, side="right") - 1
        for shard in np.unique(shard_B):
            is_there_B = shard_B == shard
            own_B = chosen_B[is_there_B] - self._starts_S[shard]
            images_BHWC[is_there_B] = self._shards_S[shard][own_B]


Images = Pixels | ImageRows


def choose_images(images: Images, rows_M: Positions) -> ImageRows:
    """Give the images at these positions, without reading them."""
    if isinstance(images, ImageRows):
        return images.choose(rows_M)
    return ImageRows([images], rows_M)


def read_images(images: Images, rows_B: Positions, images_BHWC: Pixels) -> None:
    """Copy the images at these positions, which exist, into a contiguous array.

    Other threads go on meanwhile: numpy lets them while it copies.
    """
    if isinstance(images, ImageRows):
        images.read_into(images_BHWC, rows_B)
    else:
        _copy_rows(images, rows_B, images_BHWC)


def _copy_rows(images_NHWC: Pixels, rows_B: Positions, images_BHWC: Pixels) -> None:
    if images_NHWC.flags.c_contiguous:
        # With another mode, numpy would copy by way of a second array.
        np.take(images_NHWC, rows_B, axis=0, out=images_BHWC, mode="clip")
    else:  # of which `take` would copy the whole
        images_BHWC[:] = images_NHWC[rows_B]
