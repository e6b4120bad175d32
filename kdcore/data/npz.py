"""Reads an .npz file of image and label arrays."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdcore.data.archive import Archive
from kdcore.data.array_pairs import ArrayPair, write_array_pairs
from kdcore.data.array_source import ArraySource, array_size_wrong
from kdcore.data.npy_header import NpyHeader, read_npy_header
from kdcore.data.rejection import shown
from kdcore.data.streams import ArchiveEntry
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import DatasetDescription, SplitName

# Each array may go by either name. Arrays of other names, such as a validation split, stay unread.
_SPLIT_ARRAYS = {
    "train": (("x_train", "train_images"), ("y_train", "train_labels")),
    "test": (("x_test", "test_images"), ("y_test", "test_labels")),
}
_WHOLE_ARRAYS = (("x", "images"), ("y", "labels"))
_PLAIN_DTYPE = re.compile(r"[|<>=]?(?:b1|[iu][1248]|f[248]|c8|c16)")


def read_npz(
    archive: Archive, folder: Path, *, name: str, class_names: Sequence[str]
) -> DatasetDescription:
    """Stream the arrays of an npz into a canonical dataset in `folder`.

    Raises:
        DatasetRejected: `npz_arrays_missing`, `npz_arrays_ambiguous`, `array_*`, those of
            `write_array_pairs` and of `kdcore.data.archive`.
    """
    arrays = {entry.name.removesuffix(".npy"): entry for entry in archive.entries}
    pairs: dict[SplitName | None, ArrayPair] = {}
    if any(_find(arrays, aliases) for pair in _SPLIT_ARRAYS.values() for aliases in pair):
        for split, (images, labels) in _SPLIT_ARRAYS.items():
            key: SplitName = "train" if split == "train" else "test"
            pairs[key] = _open_pair(archive, arrays, images, labels)
    else:
        pairs[None] = _open_pair(archive, arrays, *_WHOLE_ARRAYS)
    return write_array_pairs(
        pairs,
        folder,
        name=name,
        class_names=class_names,
        max_bytes=archive.limits.max_total_bytes,
    )


def _find(arrays: dict[str, ArchiveEntry], aliases: tuple[str, ...]) -> ArchiveEntry | None:
    found = [arrays[alias] for alias in aliases if alias in arrays]
    if len(found) > 1:
        raise DatasetRejected(
            "npz_arrays_ambiguous",
            f"The npz holds both {' and '.join(aliases)}, which mean the same. Keep one.",
            entries=aliases,
        )
    return found[0] if found else None


def _open_pair(
    archive: Archive,
    arrays: dict[str, ArchiveEntry],
    images: tuple[str, ...],
    labels: tuple[str, ...],
) -> ArrayPair:
    return ArrayPair(_open(archive, arrays, images), _open(archive, arrays, labels))


def _open(
    archive: Archive, arrays: dict[str, ArchiveEntry], aliases: tuple[str, ...]
) -> ArraySource:
    entry = _find(arrays, aliases)
    if entry is None:
        raise DatasetRejected(
            "npz_arrays_missing",
            f"The npz has no array {aliases[0]} (or {aliases[1]}). It needs x_train, y_train, "
            "x_test and y_test, or x and y to have a fifth of each class set aside for testing. "
            f"It holds {', '.join(shown(name) for name in list(arrays)[:20]) or 'nothing'}.",
            entries=[shown(name) for name in arrays],
        )
    source = archive.open(entry)
    header = read_npy_header(source, name=entry.name)
    dtype = _dtype(header, entry)
    if header.header_bytes + math.prod(header.shape) * dtype.itemsize != entry.size_bytes:
        raise array_size_wrong(entry.name)
    if header.fortran_order and len(header.shape) > 1:
        raise DatasetRejected(
            "array_fortran_order",
            f"{shown(entry.name)} is stored column by column. "
            "Save numpy.ascontiguousarray(array) instead.",
            entries=[shown(entry.name)],
        )
    return ArraySource(entry.name, dtype, header.shape, source)


def _dtype(header: NpyHeader, entry: ArchiveEntry) -> np.dtype[np.generic]:
    if not _PLAIN_DTYPE.fullmatch(header.dtype):
        raise DatasetRejected(
            "array_unreadable",
            f"{shown(entry.name)} has elements of type {shown(header.dtype)}. Save uint8 for "
            "images, int64 for labels.",
            entries=[shown(entry.name)],
        )
    return np.dtype(header.dtype)
