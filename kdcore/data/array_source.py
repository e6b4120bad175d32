"""An array in a stranger's archive: known by its header, checked by it, read once in chunks.

N examples, H height, W width, C channels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdcore.data.limits import CHUNK_BYTES, MAX_EXAMPLES
from kdcore.data.rejection import shown
from kdcore.data.streams import ByteSource
from kdcore.errors import DatasetRejected


@dataclass(frozen=True)
class ArraySource:
    """An array whose header has been read and checked against its size.

    Attributes:
        name: What messages call it.
        dtype: Of its elements.
        shape: Any number of dimensions.
        source: Stands at the first element, in C order; can be read once.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    source: ByteSource


def image_shape_HWC(images: ArraySource) -> tuple[int, int, int]:
    """Check an array of images by its header; return their height, width and channels.

    Raises:
        DatasetRejected: `images_not_uint8`, `images_wrong_shape`, `split_empty`,
            `too_many_examples`.
    """
    if images.dtype != np.uint8:
        raise _unusable(
            "images_not_uint8",
            images,
            "images are uint8 with values 0 to 255. Save (x * 255).round().astype('uint8') if "
            "yours lie in [0, 1].",
        )
    if len(images.shape) not in (3, 4):
        raise _unusable(
            "images_wrong_shape", images, "images are examples×height×width[×channels]."
        )
    _check_length(images)
    shape = images.shape if len(images.shape) == 4 else (*images.shape, 1)
    if shape[1] in (1, 3) and shape[3] not in (1, 3):
        raise _unusable(
            "images_wrong_shape",
            images,
            "channels come last. Save x.transpose(0, 2, 3, 1).copy() instead.",
        )
    return shape[1], shape[2], shape[3]


def check_labels_header(labels: ArraySource) -> None:
    """Check an array of labels by its header.

    Raises:
        DatasetRejected: `labels_not_integer`, `labels_wrong_shape`, `split_empty`,
            `too_many_examples`.
    """
    if labels.dtype.kind not in "iu":
        raise _unusable("labels_not_integer", labels, "labels are integers from 0.")
    if len(labels.shape) != 1 and (len(labels.shape) != 2 or labels.shape[1] != 1):
        raise _unusable("labels_wrong_shape", labels, "there is one label for each image.")
    _check_length(labels)


def _check_length(array: ArraySource) -> None:
    if array.shape[0] == 0:
        raise _unusable("split_empty", array, "it is empty. Add examples of each class.")
    if array.shape[0] > MAX_EXAMPLES:
        raise _unusable(
            "too_many_examples", array, f"at most {MAX_EXAMPLES} examples are supported."
        )


def rows_of(array: ArraySource) -> Iterator[npt.NDArray[Any]]:
    """Read an array in chunks of whole rows, and see to it that nothing follows.

    Raises:
        DatasetRejected: `array_size_wrong`.
    """
    row_bytes = math.prod(array.shape[1:]) * array.dtype.itemsize
    rows_left = array.shape[0]
    while rows_left:
        size = min(rows_left, max(1, CHUNK_BYTES // row_bytes))
        data = array.source.read(size * row_bytes)
        if len(data) < size * row_bytes:
            raise array_size_wrong(array.name)
        yield np.frombuffer(data, dtype=array.dtype).reshape(size, *array.shape[1:])
        rows_left -= size
    if array.source.read(1):
        raise array_size_wrong(array.name)


def array_size_wrong(name: str) -> DatasetRejected:
    """Say that an array has more or fewer bytes than its header says."""
    return DatasetRejected(
        "array_size_wrong",
        f"{shown(name)} does not hold as many bytes as its header says. Save it again.",
        entries=[shown(name)],
    )


def _unusable(code: str, array: ArraySource, message: str) -> DatasetRejected:
    """Make a rejection that names an array with its type and shape."""
    shape = "×".join(map(str, array.shape))
    return DatasetRejected(
        code,
        f"{shown(array.name)} is {array.dtype.name} of shape {shape or '()'}: {message}",
        entries=[shown(array.name)],
    )
