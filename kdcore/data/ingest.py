"""The front door for strangers' datasets: a file in, a canonical folder out, or a rejection."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from kdcore.data.archive import Archive
from kdcore.data.canonical import new_folder
from kdcore.data.idx import read_idx
from kdcore.data.image_folder_zip import read_image_folder_zip
from kdcore.data.labels import check_class_names
from kdcore.data.npz import read_npz
from kdcore.spec.datasets import DatasetDescription

DatasetFormat = Literal["image_folder_zip", "npz", "idx"]


def ingest(
    source: Path,
    *,
    format: DatasetFormat,  # noqa: A002 - the API's own name for the field
    name: str,
    destination: Path,
    class_names: Sequence[str] = (),
) -> DatasetDescription:
    """Read a stranger's file safely and write what it holds as a canonical dataset.

    Nothing in it is trusted, unpickled, or unpacked to a name of its own; memory stays bounded
    whatever the file claims.

    Args:
        source: A zip file.
        format: How the zip holds the images.
        name: Of the dataset, for people; at most 200 characters.
        destination: The folder to make. It appears complete or not at all.
        class_names: In label order. For `image_folder_zip` these are the class folders, which
            are sorted if left out; for the others the labels as text if left out.

    Raises:
        DatasetRejected: With a code for each kind of fault; nothing is left behind.
        OSError: If `destination` exists and is not an empty folder, or the disk is full.
    """
    if class_names:
        check_class_names(class_names)
    with Archive(source) as archive, new_folder(destination) as folder:
        return _reader(format)(archive, folder, name=name, class_names=class_names)


def _reader(dataset_format: DatasetFormat) -> Callable[..., DatasetDescription]:
    match dataset_format:
        case "image_folder_zip":
            return read_image_folder_zip
        case "npz":
            return read_npz
        case "idx":
            return read_idx
