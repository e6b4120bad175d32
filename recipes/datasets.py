"""From what a user has of a dataset to the canonical one that jobs take."""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdcore.data import BUILTIN_NAMES, ArrayDataset, builtin, ingest, load_dataset

_CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CIFAR_RECORD_BYTES = 1 + 3 * 32 * 32


def prepare_dataset(name: str, source: Path | None, store: Path) -> tuple[Path, ArrayDataset]:
    """Make the canonical dataset of `source` below `store`, or find it there.

    Args:
        name: Of the dataset; a built-in one needs no source.
        source: A canonical folder, a folder of IDX files, the binary edition of CIFAR-10
            (`data_batch_1.bin` and so on), a folder of images in class folders, or a zip or npz.
        store: Datasets are kept here, each under a digest of the files it came from.

    Raises:
        DatasetRejected: the files are not what they should be.
        ValueError: there is no source, and `name` is not built in.
    """
    if source is None:
        if name not in BUILTIN_NAMES:
            raise ValueError(f"The experiment needs {name}; say where it lies with --data.")
        destination = store / name
        if not destination.exists():
            builtin(name, destination)
        return destination, load_dataset(destination)
    if (source / "dataset.json").is_file():
        return source, load_dataset(source)
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    destination = store / f"{name}-{_digest(files)}"
    if not destination.exists():
        _ingest(name, source, destination)
    return destination, load_dataset(destination)


def zip_files(files: Iterable[Path], folder: Path, destination: Path) -> Path:
    """Pack files as they are, under their names relative to `folder`."""
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            archive.write(path, path.relative_to(folder))
    return destination


def _ingest(name: str, source: Path, destination: Path) -> None:
    if source.suffix == ".npz":
        ingest(source, format="npz", name=name, destination=destination)
    elif source.is_file():
        ingest(source, format="image_folder_zip", name=name, destination=destination)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            _ingest_folder(name, source, destination, Path(scratch))


def _ingest_folder(name: str, source: Path, destination: Path, scratch: Path) -> None:
    if idx_files := list(source.glob("*-ubyte*")):
        archive = zip_files(idx_files, source, scratch / "idx.zip")
        ingest(archive, format="idx", name=name, destination=destination)
    elif list(source.glob("data_batch_*.bin")):
        archive = _cifar_arrays(source, scratch / "cifar.npz")
        ingest(
            archive, format="npz", name=name, destination=destination, class_names=_CIFAR_CLASSES
        )
    else:
        images = [path for path in source.rglob("*") if path.is_file()]
        archive = zip_files(images, source, scratch / "images.zip")
        ingest(archive, format="image_folder_zip", name=name, destination=destination)


def _cifar_arrays(source: Path, destination: Path) -> Path:
    x_train, y_train = _cifar_split(source, "data_batch_*.bin")
    x_test, y_test = _cifar_split(source, "test_batch.bin")
    np.savez(destination, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return destination


def _cifar_split(source: Path, pattern: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the binary edition: records of a label and 32×32 pixels, red, green, then blue.

    Returns:
        images_NHWC and labels_N.
    """
    raw = [np.fromfile(path, np.uint8) for path in sorted(source.glob(pattern))]
    records = np.concatenate(raw).reshape(-1, _CIFAR_RECORD_BYTES)
    images_NCHW = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1)), records[:, 0].astype(np.int64)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
