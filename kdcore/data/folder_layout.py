"""Tells split and class of each file of an image zip from the folders it lies in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kdcore.data.archive import Archive
from kdcore.data.rejection import shown
from kdcore.data.streams import ArchiveEntry
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import SplitName

_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
}
_UNUSED_FOLDERS = frozenset({"val", "valid", "validation"})
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# Left by Windows; what macOS and editors leave begins with a dot or lies in __MACOSX.
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})

_LAYOUT = (
    "Put the images in train/<class>/ and test/<class>/, or in <class>/ to have a fifth of each "
    "class set aside for testing; one folder around all of it is fine."
)


@dataclass(frozen=True)
class FolderLayout:
    """Where the images are.

    Attributes:
        class_names: Sorted.
        images: Per split, files with their label, sorted by label and name. `None` instead of a
            split's name holds all where the zip has no splits.
        unused: Files that are not part of the dataset.
    """

    class_names: tuple[str, ...]
    images: dict[SplitName | None, tuple[tuple[ArchiveEntry, int], ...]]
    unused: tuple[ArchiveEntry, ...]


class _Place(NamedTuple):
    split: SplitName | None
    class_name: str


def is_system_file(name: str) -> bool:
    """Tell files that operating systems and editors leave: hidden ones, `__MACOSX`, thumbnails."""
    parts = name.split("/")
    return (
        any(part.startswith(".") or part == "__MACOSX" for part in parts)
        or parts[-1].casefold() in _SYSTEM_FILES
    )


def find_layout(archive: Archive) -> FolderLayout:
    """Find out how the zip is laid out.

    Raises:
        DatasetRejected: `layout_unknown`, `split_empty`.
    """
    folders = [f"{name}/" for name in archive.folders if not is_system_file(name)]
    entries = [entry for entry in archive.entries if not is_system_file(entry.name)]
    names = [*(entry.name for entry in entries), *folders]
    root = _root_of(names)
    below_root = [name[len(root) :] for name in names if name.startswith(root)]
    tops = {name.partition("/")[0] for name in below_root if "/" in name}
    split_tops = {top for top in tops if top.casefold() in _SPLIT_FOLDERS}
    prefixes: dict[str, SplitName | None] = {root: None}
    if split_tops:
        _check_tops(tops, split_tops)
        prefixes = {f"{root}{top}/": _SPLIT_FOLDERS[top.casefold()] for top in split_tops}
    places = {entry.name: _place(entry.name, prefixes) for entry in entries}
    unused = tuple(entry for entry in entries if places[entry.name] is None)
    kept_apart = tuple(f"{root}{top}/" for top in tops - split_tops) if split_tops else ()
    _check_unused(unused, kept_apart, is_empty=len(unused) == len(entries))
    class_places = [*places.values(), *(_place(f"{folder}.", prefixes) for folder in folders)]
    class_names = sorted({place.class_name for place in class_places if place})
    label_of = {name: label for label, name in enumerate(class_names)}
    images: dict[SplitName | None, list[tuple[ArchiveEntry, int]]] = {
        split: [] for split in prefixes.values()
    }
    for entry in sorted(entries, key=lambda entry: entry.name):
        if place := places[entry.name]:
            images[place.split].append((entry, label_of[place.class_name]))
    return FolderLayout(
        class_names=tuple(class_names),
        images={
            split: tuple(sorted(found, key=lambda item: item[1])) for split, found in images.items()
        },
        unused=unused,
    )


def _root_of(names: Sequence[str]) -> str:
    """Find the one folder around everything, with its slash; "" if there is none.

    `names` are files, and folders with a slash at the end. A folder is a root only if the images
    lie two levels or more below it, and if it is not itself a split.
    """
    images = [name for name in names if name.casefold().endswith(_IMAGE_SUFFIXES)] or names
    first = {name.split("/")[0] for name in images}
    depth = min((name.rstrip("/").count("/") for name in images), default=0)
    if len(first) != 1 or depth < 2:
        return ""
    root = first.pop()
    return "" if root.casefold() in _SPLIT_FOLDERS else f"{root}/"


def _check_tops(tops: set[str], split_tops: set[str]) -> None:
    splits = sorted(_SPLIT_FOLDERS[top.casefold()] for top in split_tops)
    if splits != ["test", "train"]:
        raise DatasetRejected(
            "split_empty",
            f"The zip has these splits: {', '.join(splits)}; it needs one train and one test "
            f"folder. {_LAYOUT}",
        )
    strange = sorted(
        shown(top) for top in tops - split_tops if top.casefold() not in _UNUSED_FOLDERS
    )
    if strange:
        raise DatasetRejected(
            "layout_unknown",
            f"Beside train and test there is {strange[0]}. Remove it or move its images. {_LAYOUT}",
            entries=strange,
        )


def _place(name: str, prefixes: dict[str, SplitName | None]) -> _Place | None:
    """Tell where a file belongs: it must lie in a folder right below one of the prefixes."""
    for prefix, split in prefixes.items():
        class_name, slash, rest = name[len(prefix) :].partition("/")
        if name.startswith(prefix) and slash and "/" not in rest:
            return _Place(split, class_name)
    return None


def _check_unused(
    unused: Sequence[ArchiveEntry], kept_apart: tuple[str, ...], *, is_empty: bool
) -> None:
    """Refuse images that would be left out without a word; `kept_apart` are validation folders."""
    misplaced = [
        shown(entry.name)
        for entry in unused
        if entry.name.casefold().endswith(_IMAGE_SUFFIXES) and not entry.name.startswith(kept_apart)
    ]
    if misplaced:
        raise DatasetRejected(
            "layout_unknown",
            f"{len(misplaced)} images do not lie in class folders, the first is {misplaced[0]}. "
            f"{_LAYOUT}",
            entries=misplaced,
        )
    if is_empty:
        raise DatasetRejected(
            "layout_unknown", f"The zip has no images in class folders. {_LAYOUT}"
        )
