"""Local objects that outlive a power cut."""

import os
from pathlib import Path


def sync_to_disk(path: Path, *, folder: Path) -> None:
    """Sync an object below `folder` and the folders it is in: obstore renames but does not sync."""
    folders = [path.parent, *path.parent.parents]
    inside = folders[: folders.index(folder) + 1]
    for place in (path, *inside):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
