"""The worker's own folder for what it works on, and the removal of what dead workers left."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_NAME = ".lock"


class Scratch:
    """A folder of one worker below `root`, locked while it lives.

    Several workers may share `root`: whoever starts removes the folders whose lock nobody holds.
    """

    def __init__(self, root: Path, *, name: str) -> None:
        self.folder = root / name
        root.mkdir(parents=True, exist_ok=True)
        with (root / _LOCK_NAME).open("w") as root_lock:
            # One worker at a time: a folder that is made but not locked yet is not abandoned.
            fcntl.flock(root_lock, fcntl.LOCK_EX)
            self.folder.mkdir()
            self._lock = _lock(self.folder)
            for other in root.iterdir():
                if other.is_dir() and other != self.folder:
                    _remove_if_abandoned(other)

    @contextmanager
    def work_folder(self, name: str) -> Iterator[Path]:
        """Make a folder for one piece of work, and remove it afterwards whatever happens."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the worker's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _lock(folder: Path) -> int | None:
    """Take the lock of a folder; None if another process holds it."""
    descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_if_abandoned(folder: Path) -> None:
    descriptor = _lock(folder)
    if descriptor is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
