"""Writes `manifest.json`, the last of a job's files."""

from pathlib import Path

from kdcore.export.atomic import write_text
from kdcore.manifest import MANIFEST_NAME, Manifest


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `manifest` into the folder that it describes; gives the path."""
    return write_text(folder / MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n")
