"""Reads a zip of images in class folders.

H height, W width, C channels, N examples.
"""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdcore.data.archive import Archive
from kdcore.data.canonical import CanonicalWriter
from kdcore.data.decoding import decoded_images
from kdcore.data.folder_layout import FolderLayout, find_layout
from kdcore.data.labels import check_class_counts, check_class_names
from kdcore.data.limits import CHUNK_BYTES, MAX_UNDECODABLE_SHARE
from kdcore.data.rejection import shown
from kdcore.data.stratified import choose_test_examples
from kdcore.data.streams import ArchiveEntry
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import SPLIT_NAMES, DatasetDescription, SplitName

_MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Example:
    entry: ArchiveEntry
    split: SplitName
    label: int


class _ColourFound(Exception):
    """A colour image came after grey ones: all must be written again as RGB."""


def read_image_folder_zip(
    archive: Archive,
    folder: Path,
    *,
    name: str,
    class_names: Sequence[str],
    max_decoders: int = 1,
) -> DatasetDescription:
    """Decode every image into a canonical dataset in `folder`, with at most so many processes.

    Grey if every image file is grey, else RGB. `class_names`, if given, are the class folders in
    the order that the labels shall have; else the folders are sorted.

    Raises:
        DatasetRejected: `layout_unknown`, `split_empty`, `class_names_mismatch`,
            `images_differ_in_size`, `images_undecodable`, `image_*`, those of
            `kdcore.data.labels` and of `kdcore.data.archive`.
    """
    layout = find_layout(archive)
    archive.refuse_nested(layout.unused)
    names = _ordered(layout.class_names, class_names)
    examples = _examples(layout, names)
    check_class_counts(_class_counts(examples, len(names)), names)
    write = partial(
        _write,
        archive,
        folder,
        examples,
        name=name,
        class_names=names,
        max_decoders=max_decoders,
    )
    try:
        return write(as_rgb=False)
    except _ColourFound:
        return write(as_rgb=True)


def _ordered(found: tuple[str, ...], wanted: Sequence[str]) -> tuple[str, ...]:
    check_class_names(found)
    if not wanted:
        return found
    if sorted(wanted) != sorted(found):
        differing = sorted(set(wanted) ^ set(found))
        raise DatasetRejected(
            "class_names_mismatch",
            f"The {len(wanted)} class names are not those of the {len(found)} class folders: "
            f"{shown((differing or list(wanted))[0])} differs. Name each folder once, in the order "
            "of the labels, or leave class_names out.",
            entries=[shown(name) for name in differing],
        )
    return tuple(wanted)


def _examples(layout: FolderLayout, names: tuple[str, ...]) -> list[_Example]:
    """List all images, the train split first, each split sorted by label and file name."""
    label_of = {name: label for label, name in enumerate(names)}
    new_label = [label_of[name] for name in layout.class_names]
    examples: list[_Example] = []
    for split, found in layout.images.items():
        if split is not None:
            examples += [_Example(entry, split, new_label[label]) for entry, label in found]
            continue
        # Chosen by the sorted folders, so that naming the classes leaves the splits as they are.
        labels_N = np.array([label for _, label in found], dtype=np.int64)
        is_test_N = choose_test_examples(labels_N, layout.class_names)
        examples += [
            _Example(entry, "test" if is_test else "train", new_label[label])
            for (entry, label), is_test in zip(found, is_test_N.tolist(), strict=True)
        ]
    return sorted(examples, key=lambda e: (e.split != "train", e.label, e.entry.name))


def _class_counts(examples: Sequence[_Example], num_classes: int) -> dict[SplitName, list[int]]:
    counts: dict[SplitName, list[int]] = {split: [0] * num_classes for split in SPLIT_NAMES}
    for example in examples:
        counts[example.split][example.label] += 1
    return counts


@dataclass
class _Decoder:
    """Decodes examples one by one, and keeps account of those that do not fit."""

    archive: Archive
    folder: Path
    num_examples: int
    max_decoders: int
    size_HW: tuple[int, int] | None = None
    undecodable: list[str] = field(default_factory=list)
    of_other_size: list[str] = field(default_factory=list)
    num_skipped: dict[SplitName, int] = field(default_factory=dict)

    def decode_all(
        self, examples: Sequence[_Example]
    ) -> Generator[tuple[_Example, npt.NDArray[np.uint8]]]:
        """Give each good image; its pixels are good until the next is taken."""
        entries = [example.entry for example in examples]
        images = decoded_images(
            self.archive, entries, max_decoders=self.max_decoders, folder=self.folder
        )
        with contextlib.closing(images):
            for example, image in zip(examples, images, strict=True):
                if self._is_good(example, image.size_HW) and image.pixels_HWC is not None:
                    yield example, image.pixels_HWC
        self._refuse_if_bad()

    def _is_good(self, example: _Example, size_HW: tuple[int, int] | None) -> bool:
        name = shown(example.entry.name)
        if size_HW is None:
            self.num_skipped[example.split] = self.num_skipped.get(example.split, 0) + 1
            self.undecodable.append(name)
            if len(self.undecodable) >= _MAX_NAMED:
                self._refuse_if_bad()
            return False
        self.size_HW = self.size_HW or size_HW
        if size_HW == self.size_HW:
            return True
        self.of_other_size.append(f"{name}: {size_HW[1]}×{size_HW[0]}")
        if len(self.of_other_size) >= _MAX_NAMED:
            self._refuse_if_bad()
        return False

    def _refuse_if_bad(self) -> None:
        if len(self.undecodable) > MAX_UNDECODABLE_SHARE * self.num_examples:
            raise DatasetRejected(
                "images_undecodable",
                f"At least {len(self.undecodable)} of {self.num_examples} files cannot be decoded "
                f"as PNG, JPEG or WebP; {MAX_UNDECODABLE_SHARE:.1%} is tolerated. The first is "
                f"{self.undecodable[0]}. Remove or mend them.",
                entries=self.undecodable,
            )
        if self.of_other_size and self.size_HW:
            raise DatasetRejected(
                "images_differ_in_size",
                f"All images must have one size in pixels. Most likely that is "
                f"{self.size_HW[1]}×{self.size_HW[0]}, as the first image has; "
                f"{self.of_other_size[0]} differs. Resize the images to one size.",
                entries=self.of_other_size,
            )


def _write(
    archive: Archive,
    folder: Path,
    examples: Sequence[_Example],
    *,
    name: str,
    class_names: tuple[str, ...],
    max_decoders: int,
    as_rgb: bool,
) -> DatasetDescription:
    """Decode and write all images in one pass.

    Raises:
        _ColourFound: At the first colour image after a grey one, unless `as_rgb`.
    """
    decoder = _Decoder(archive, folder, len(examples), max_decoders)
    with contextlib.closing(decoder.decode_all(examples)) as decoded:
        first = next(decoded, None)
        if first is None:
            raise AssertionError("a dataset without a single good image was not refused")
        height, width, channels = first[1].shape
        shape_HWC = (height, width, 3 if as_rgb else channels)
        max_bytes = archive.limits.max_total_bytes
        with CanonicalWriter(folder, shape_HWC, max_bytes=max_bytes) as writer:
            batch = _Batch(writer, shape_HWC)
            batch.add(*first)
            for example, pixels_HWC in decoded:
                if pixels_HWC.shape[2] > shape_HWC[2]:
                    raise _ColourFound
                batch.add(example, pixels_HWC)
            batch.flush()
            return writer.finish(
                name=name, class_names=class_names, num_skipped=dict(decoder.num_skipped)
            )


class _Batch:
    """Gathers images of one split so that they are hashed, counted and written together."""

    def __init__(self, writer: CanonicalWriter, shape_HWC: tuple[int, int, int]) -> None:
        self._writer = writer
        size = max(1, CHUNK_BYTES // int(np.prod(shape_HWC)))
        self._images_NHWC = np.empty((size, *shape_HWC), dtype=np.uint8)
        self._labels_N = np.empty(size, dtype=np.int64)
        self._split: SplitName = "train"
        self._size = 0

    def add(self, example: _Example, pixels_HWC: npt.NDArray[np.uint8]) -> None:
        if self._size == len(self._images_NHWC) or example.split != self._split:
            self.flush()
        self._split = example.split
        self._images_NHWC[self._size] = pixels_HWC  # a grey image fills all three channels
        self._labels_N[self._size] = example.label
        self._size += 1

    def flush(self) -> None:
        self._writer.append(
            self._split, self._images_NHWC[: self._size], self._labels_N[: self._size]
        )
        self._size = 0
