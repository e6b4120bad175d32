"""`manifest.json`: what a finished job left, from what, with what; and whether it still is so.

Free of torch, so that a client can check what it has downloaded.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kdcore.errors import ArtifactsDamaged
from kdcore.report import Environment
from kdcore.spec import AnyJob, JobSpec

MANIFEST_NAME = "manifest.json"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A plain name in the folder: a manifest from elsewhere never makes us read outside it.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=255)]


class _ManifestModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestFile(_ManifestModel):
    """One file of the folder."""

    name: FileName
    size_bytes: int = Field(ge=0)
    sha256: Digest


class ManifestNetwork(_ManifestModel):
    """A model that came in: its id where the job ran, and the digest of its safetensors."""

    model: str
    sha256: Digest


class ManifestSplit(_ManifestModel):
    """Digests of one split of the dataset, as `dataset.json` defines them."""

    num_examples: int
    images_sha256: Digest
    labels_sha256: Digest


class ManifestDataset(_ManifestModel):
    """A dataset: its id where the job ran, and the digests of its pixels and labels."""

    dataset: str
    splits: dict[str, ManifestSplit]


class ManifestAttempt(_ManifestModel):
    """One attempt of the job, as far as whoever ran it knows."""

    number: int = Field(ge=1)
    worker: str | None = None
    device: str | None = None
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = Field(
        None, description="null for the attempt that wrote this manifest: it was still running."
    )
    exit_cause: str | None = None
    resumed_from_step: int | None = None


class Manifest(_ManifestModel):
    """The whole of `manifest.json`."""

    format_version: Literal[1] = 1
    job_id: str | None = Field(None, description="null for a job that no service ran.")
    spec: JobSpec = Field(description="With every default filled in.")
    environment: Environment = Field(description="Seed, device, precision, versions, revision.")
    teachers: tuple[ManifestNetwork, ...] = ()
    models: tuple[ManifestNetwork, ...] = Field((), description="Those that were evaluated.")
    dataset: ManifestDataset = Field(description="What the job evaluates on.")
    transfer_dataset: ManifestDataset | None = Field(
        None, description="What it learned from; null where that is the train split of `dataset`."
    )
    attempts: tuple[ManifestAttempt, ...]
    files: tuple[ManifestFile, ...] = Field(description="Every file but this one, by name.")


def build_manifest(
    folder: Path,
    *,
    spec: AnyJob,
    environment: Environment,
    teachers: Sequence[ManifestNetwork] = (),
    models: Sequence[ManifestNetwork] = (),
    dataset: ManifestDataset,
    transfer_dataset: ManifestDataset | None = None,
    attempts: Sequence[ManifestAttempt] = (),
    job_id: str | None = None,
) -> Manifest:
    """Describe `folder` as it is now: every file whose name has no leading dot.

    Raises:
        ValidationError: a file has a name that no manifest may hold.
    """
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != MANIFEST_NAME and not path.name.startswith(".")
    )
    return Manifest(
        job_id=job_id,
        spec=spec,
        environment=environment,
        teachers=tuple(teachers),
        models=tuple(models),
        dataset=dataset,
        transfer_dataset=transfer_dataset,
        attempts=tuple(attempts),
        files=tuple(_describe(folder / name) for name in names),
    )


def verify_manifest(folder: Path) -> Manifest:
    """Check every file that `folder/manifest.json` names, by size and sha256; give the manifest.

    Files that it does not name are not looked at.

    Raises:
        ArtifactsDamaged: naming what is missing and what has changed, or because there is no
            manifest that can be read.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactsDamaged(
            f"There is no {MANIFEST_NAME} here; download it.", missing=[MANIFEST_NAME], changed=[]
        ) from None
    except ValidationError:
        raise ArtifactsDamaged(
            f"{MANIFEST_NAME} is not a manifest; download it again.",
            missing=[],
            changed=[MANIFEST_NAME],
        ) from None
    missing = [file.name for file in manifest.files if not (folder / file.name).is_file()]
    changed = [
        file.name
        for file in manifest.files
        if file.name not in missing and _describe(folder / file.name) != file
    ]
    if missing or changed:
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (("missing", missing), ("changed", changed))
            if names
        ]
        raise ArtifactsDamaged(
            f"{'; '.join(parts)}. Download them again.", missing=missing, changed=changed
        )
    return manifest


def _describe(path: Path) -> ManifestFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ManifestFile(name=path.name, size_bytes=path.stat().st_size, sha256=digest)
