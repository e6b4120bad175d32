"""The front door for strangers' datasets: a file in, a canonical folder out, or a rejection."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kdcore.data.archive import Archive
from kdcore.data.canonical import new_folder
from kdcore.data.idx import read_idx
from kdcore.data.image_folder_zip import read_image_folder_zip
from kdcore.data.labels import check_class_names
from kdcore.data.limits import MAX_DATASET_BYTES, ArchiveLimits
from kdcore.data.npz import read_npz
from kdcore.process_cores import usable_cores
from kdcore.spec.datasets import DatasetDescription

DatasetFormat = Literal["image_folder_zip", "npz", "idx"]


def ingest(
    source: Path,
    *,
    format: DatasetFormat,  # noqa: A002 - the API's own name for the field
    name: str,
    destination: Path,
    class_names: Sequence[str] = (),
    max_bytes: int = MAX_DATASET_BYTES,
    max_decoders: int | None = None,
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
        max_bytes: Of the pixels, and of what the zip unpacks to.
        max_decoders: How many processes may decode images, where they are large and many; one
            for each usable core if left out.

    Raises:
        DatasetRejected: With a code for each kind of fault; nothing is left behind.
        DecoderKilled: The system ended a process that decoded images.
        OSError: If `destination` exists and is not an empty folder, or the disk is full.
    """
    if class_names:
        check_class_names(class_names)
    limits = ArchiveLimits(max_total_bytes=max_bytes)
    with Archive(source, limits) as archive, new_folder(destination) as folder:
        match format:
            case "image_folder_zip":
                return read_image_folder_zip(
                    archive,
                    folder,
                    name=name,
                    class_names=class_names,
                    max_decoders=max_decoders or usable_cores(),
                )
            case "npz":
                return read_npz(archive, folder, name=name, class_names=class_names)
            case "idx":
                return read_idx(archive, folder, name=name, class_names=class_names)
