"""Checks arrays of images and labels of a stranger, then streams them into a canonical dataset.

N examples, H height, W width, C channels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdcore.data.array_source import ArraySource, check_labels_header, image_shape_HWC, rows_of
from kdcore.data.canonical import CanonicalWriter
from kdcore.data.labels import check_class_counts, check_label_values
from kdcore.data.limits import MAX_DATASET_BYTES
from kdcore.data.rejection import shown
from kdcore.data.stratified import choose_test_examples
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import SPLIT_NAMES, DatasetDescription, SplitName


@dataclass(frozen=True)
class ArrayPair:
    """Images with their labels."""

    images: ArraySource
    labels: ArraySource


def write_array_pairs(
    pairs: Mapping[SplitName | None, ArrayPair],
    folder: Path,
    *,
    name: str,
    class_names: Sequence[str],
    max_bytes: int = MAX_DATASET_BYTES,
) -> DatasetDescription:
    """Stream arrays into a canonical dataset in `folder`, a few megabytes at a time.

    Args:
        pairs: One for each split, or a single one under `None`, of which a fifth becomes the
            test split.
        folder: Exists and is empty.
        name: Of the dataset.
        class_names: In label order; numbers as text if empty.
        max_bytes: Bounds the pixels of both splits.

    Raises:
        DatasetRejected: `array_lengths_differ`, `images_not_uint8`, `images_wrong_shape`,
            `labels_not_integer`, `labels_wrong_shape`, `images_differ_in_size`,
            `too_many_examples`, `dataset_too_large`, `class_names_mismatch`, and those of
            `kdcore.data.labels`, of `CanonicalWriter` and of `choose_test_examples`.
    """
    shape_HWC = _check_shapes(pairs, max_bytes=max_bytes)
    labels = {split: _read_labels(pair.labels) for split, pair in pairs.items()}
    names = _class_names(list(labels.values()), class_names)
    is_test = {split: _test_mask(split, labels_N, names) for split, labels_N in labels.items()}
    check_class_counts(_class_counts(labels, is_test, len(names)), names)
    with CanonicalWriter(folder, shape_HWC, max_bytes=max_bytes) as writer:
        for split, pair in pairs.items():
            start = 0
            for rows in rows_of(pair.images):
                images_NHWC = rows.reshape(-1, *shape_HWC)
                part = slice(start, start + len(images_NHWC))
                _append(writer, images_NHWC, labels[split][part], is_test[split][part])
                start = part.stop
        return writer.finish(name=name, class_names=names, num_skipped={})


def _append(
    writer: CanonicalWriter,
    images_NHWC: npt.NDArray[np.uint8],
    labels_N: npt.NDArray[np.int64],
    is_test_N: npt.NDArray[np.bool_],
) -> None:
    for name, chosen_N in (("train", ~is_test_N), ("test", is_test_N)):
        split: SplitName = "train" if name == "train" else "test"
        if chosen_N.all():
            writer.append(split, images_NHWC, labels_N)
        elif chosen_N.any():
            writer.append(split, images_NHWC[chosen_N], labels_N[chosen_N])


def _check_shapes(
    pairs: Mapping[SplitName | None, ArrayPair], *, max_bytes: int
) -> tuple[int, int, int]:
    """Check all shapes and types, from the headers alone; return the images' H, W and C."""
    shapes: dict[str, tuple[int, int, int]] = {}
    for pair in pairs.values():
        shapes[pair.images.name] = image_shape_HWC(pair.images)
        check_labels_header(pair.labels)
        if pair.images.shape[0] != pair.labels.shape[0]:
            raise DatasetRejected(
                "array_lengths_differ",
                f"{shown(pair.images.name)} holds {pair.images.shape[0]} images, but "
                f"{shown(pair.labels.name)} {pair.labels.shape[0]} labels. Give one for each.",
                entries=[shown(pair.images.name), shown(pair.labels.name)],
            )
    if len(set(shapes.values())) > 1:
        listed = [f"{shown(name)}: {'×'.join(map(str, shape))}" for name, shape in shapes.items()]
        raise DatasetRejected(
            "images_differ_in_size",
            f"Train and test images must have one height, width and number of channels, but "
            f"{' and '.join(listed)}. Resize them.",
            entries=listed,
        )
    if sum(math.prod(pair.images.shape) for pair in pairs.values()) > max_bytes:
        raise DatasetRejected(
            "dataset_too_large",
            f"The images have more than {max_bytes} bytes as pixels. "
            "Upload fewer or smaller images.",
        )
    return next(iter(shapes.values()))


def _read_labels(labels: ArraySource) -> npt.NDArray[np.int64]:
    chunks: list[npt.NDArray[np.int64]] = []
    start = 0
    for chunk in rows_of(labels):
        flat_N = chunk.reshape(-1)
        check_label_values(flat_N, source=labels.name, first=start)
        chunks.append(flat_N.astype(np.int64))
        start += len(flat_N)
    return np.concatenate(chunks)


def _class_names(
    labels: Sequence[npt.NDArray[np.int64]], class_names: Sequence[str]
) -> tuple[str, ...]:
    num_classes = 1 + max(int(labels_N.max()) for labels_N in labels)
    if not class_names:
        return tuple(str(label) for label in range(num_classes))
    if len(class_names) != num_classes:
        raise DatasetRejected(
            "class_names_mismatch",
            f"There are {len(class_names)} class names, but the labels go from 0 to "
            f"{num_classes - 1}. Give {num_classes} names, or none.",
        )
    return tuple(class_names)


def _test_mask(
    split: SplitName | None, labels_N: npt.NDArray[np.int64], names: tuple[str, ...]
) -> npt.NDArray[np.bool_]:
    if split is None:
        return choose_test_examples(labels_N, names)
    return np.full(len(labels_N), split == "test")


def _class_counts(
    labels: Mapping[SplitName | None, npt.NDArray[np.int64]],
    is_test: Mapping[SplitName | None, npt.NDArray[np.bool_]],
    num_classes: int,
) -> dict[SplitName, list[int]]:
    counts = {split: np.zeros(num_classes, dtype=np.int64) for split in SPLIT_NAMES}
    for split, labels_N in labels.items():
        test_N = is_test[split]
        counts["test"] += np.bincount(labels_N[test_N], minlength=num_classes)
        counts["train"] += np.bincount(labels_N[~test_N], minlength=num_classes)
    return {split: found.tolist() for split, found in counts.items()}
