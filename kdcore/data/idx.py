"""Reads a zip of the four IDX files of MNIST and its relatives, plain or gzipped.

Layout: http://yann.lecun.com/exdb/mnist, "the IDX file format".
"""

import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdcore.data.archive import Archive
from kdcore.data.archive_rules import refuse_nested_bytes
from kdcore.data.array_pairs import ArrayPair, write_array_pairs
from kdcore.data.array_source import ArraySource, array_size_wrong
from kdcore.data.folder_layout import is_system_file
from kdcore.data.rejection import shown
from kdcore.data.streams import ArchiveEntry, ByteSource, GzipStream
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import SPLIT_NAMES, DatasetDescription, SplitName

_GZIP_MAGIC = b"\x1f\x8b"
_LABELS_MAGIC = 0x00000801  # unsigned bytes, one dimension
_IMAGES_MAGIC = 0x00000803  # unsigned bytes, three dimensions
_SNIFF_BYTES = 512
_SPLIT_WORDS: tuple[tuple[re.Pattern[str], SplitName], ...] = (
    (re.compile(r"(?<![a-z])train"), "train"),
    (re.compile(r"(?<![a-z])(t10k|test)"), "test"),
)


def read_idx(
    archive: Archive, folder: Path, *, name: str, class_names: Sequence[str]
) -> DatasetDescription:
    """Stream four IDX files into a canonical dataset in `folder`.

    Each file tells by its first bytes whether it holds images or labels, and by `train`, `t10k`
    or `test` in its name to which split it belongs.

    Raises:
        DatasetRejected: `idx_files_missing`, `idx_files_ambiguous`, `array_size_wrong`,
            `archive_nested`, those of `write_array_pairs` and of `kdcore.data.archive`.
    """
    found: dict[tuple[SplitName, int], ArraySource] = {}
    for entry in archive.entries:
        if is_system_file(entry.name):
            continue
        array = _open(archive, entry)
        split = _split_of(entry.name)
        if array is None or split is None:
            continue
        place = (split, len(array.shape))
        if place in found:
            raise DatasetRejected(
                "idx_files_ambiguous",
                f"{shown(found[place].name)} and {shown(entry.name)} both hold {split} "
                f"{'images' if len(array.shape) == 3 else 'labels'}. Keep one.",
                entries=[shown(found[place].name), shown(entry.name)],
            )
        found[place] = array
    pairs: dict[SplitName | None, ArrayPair] = {}
    for split in SPLIT_NAMES:
        images, labels = found.get((split, 3)), found.get((split, 1))
        if images is None or labels is None:
            raise _missing(split, "labels" if images else "images", archive)
        pairs[split] = ArrayPair(images, labels)
    return write_array_pairs(
        pairs,
        folder,
        name=name,
        class_names=class_names,
        max_bytes=archive.limits.max_total_bytes,
    )


def _split_of(name: str) -> SplitName | None:
    """Tell the split by the file's own name; folders around it do not count."""
    file_name = name.rpartition("/")[2].casefold()
    return next((split for word, split in _SPLIT_WORDS if word.search(file_name)), None)


def _open(archive: Archive, entry: ArchiveEntry) -> ArraySource | None:
    """Read an entry's header; `None` if it is no IDX file of bytes in one or three dimensions."""
    start = archive.open(entry).read(_SNIFF_BYTES)
    refuse_nested_bytes(entry.name, start)
    source: ByteSource = archive.open(entry)
    is_gzip = start.startswith(_GZIP_MAGIC)
    if is_gzip:
        source = GzipStream(source, name=entry.name, packed_bytes=entry.size_bytes)
    magic = source.read(4)
    if magic == struct.pack(">L", _LABELS_MAGIC):
        dimensions = 1
    elif magic == struct.pack(">L", _IMAGES_MAGIC):
        dimensions = 3
    else:
        return None
    sizes = source.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise array_size_wrong(entry.name)
    shape = struct.unpack(f">{dimensions}L", sizes)
    # A gzip file's size shows only while it unpacks; then it is counted against the shape.
    if not is_gzip and 4 + 4 * dimensions + math.prod(shape) != entry.size_bytes:
        raise array_size_wrong(entry.name)
    return ArraySource(entry.name, np.dtype(np.uint8), shape, source)


def _missing(split: SplitName, what: str, archive: Archive) -> DatasetRejected:
    names = [shown(entry.name) for entry in archive.entries]
    return DatasetRejected(
        "idx_files_missing",
        f"The zip has no IDX file of {split} {what}. It needs train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain "
        "or as .gz.",
        entries=names,
    )
