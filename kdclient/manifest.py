"""The manifest of a job's artifacts: every file is there, and is what the job wrote."""

from pathlib import Path

from kdclient.errors import FolderDamaged
from kdcore.errors import ArtifactsDamaged
from kdcore.manifest import Manifest
from kdcore.manifest import verify_manifest as verify


def verify_manifest(folder: Path | str) -> Manifest:
    """Check every file that `folder/manifest.json` lists by size and sha256, and return it.

    Raises:
        FolderDamaged: files are missing or changed, or there is no manifest.
    """
    try:
        return verify(Path(folder))
    except ArtifactsDamaged as error:
        raise FolderDamaged(
            Path(folder), error.message, missing=error.missing, changed=error.changed
        ) from None
