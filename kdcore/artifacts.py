"""The files that a finished job leaves, and what its manifest says of where they come from."""

from dataclasses import dataclass
from pathlib import Path

from kdcore.checkpoints import sha256_of
from kdcore.data import ArrayDataset
from kdcore.manifest import ManifestAttempt, ManifestDataset, ManifestSplit

_MEDIA_TYPES = {
    ".safetensors": "application/octet-stream",
    ".onnx": "application/octet-stream",
    ".pt2": "application/octet-stream",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
}


@dataclass(frozen=True)
class Artifact:
    """One file of a finished job."""

    name: str
    path: Path
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True)
class Provenance:
    """Where a job ran: what a service knows and a library does not."""

    job_id: str | None = None
    attempts: tuple[ManifestAttempt, ...] = ()


UNKNOWN_PROVENANCE = Provenance()


def list_artifacts(folder: Path) -> tuple[Artifact, ...]:
    """Describe every file of `folder` as it is now, by name; none whose name has a leading dot."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return tuple(
        Artifact(
            name=path.name,
            path=path,
            sha256=sha256_of(path),
            size_bytes=path.stat().st_size,
            media_type=_MEDIA_TYPES[path.suffix],
        )
        for path in paths
    )


def manifest_dataset(dataset_id: str, dataset: ArrayDataset) -> ManifestDataset:
    """Describe a dataset by its id where the job ran, and by its digests."""
    return ManifestDataset(
        dataset=dataset_id,
        splits={
            name: ManifestSplit(
                num_examples=split.num_examples,
                images_sha256=split.images_sha256,
                labels_sha256=split.labels_sha256,
            )
            for name, split in dataset.description.splits.items()
        },
    )
