"""Inputs of jobs on the worker's disk: fetched once, checked by sha256, kept within a bound."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdcore.errors import KdcoreError
from kdstore.errors import ObjectNotFound
from kdstore.objects import Check, ObjectStore, go_on
from worker.digests import sha256_of
from worker.file_locks import file_lock

# Checking what has arrived changes nothing that others could see: of 16 GiB it may take a minute.
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class StoredFile:
    """An object in storage, and the digest that its bytes must have."""

    object_key: str
    sha256: str


class InputDamaged(KdcoreError):
    """An object's bytes are not those that were validated; `object_key` says which."""

    code = "input_damaged"

    def __init__(self, object_key: str) -> None:
        self.object_key = object_key
        super().__init__("A stored input does not match its digest any more. Upload it again.")


class InputCache:
    """A folder of files named by their sha256; the longest unused go before it grows too large.

    Files are handed out as hard links, so that what a job uses stays while it uses it. The workers
    of a machine share one folder: files appear whole, and whoever wants what another is fetching
    waits for it. Only where that one is frozen, the same is fetched twice, which is no harm.

    Whatever fetches calls `check` at every chunk and while it waits: what that raises is raised.
    """

    def __init__(
        self,
        folder: Path,
        objects: ObjectStore,
        *,
        max_bytes: int,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._folder = folder
        self._locks = folder.with_name(f"{folder.name}-locks")
        self._patience_seconds = patience_seconds
        self._objects = objects
        self._max_bytes = max_bytes

    def place(self, file: StoredFile, destination: Path, *, check: Check = go_on) -> None:
        """Put a stored file at `destination`, from the cache if it is there or about to be.

        Raises:
            InputDamaged: its bytes do not have the digest.
            StorageError: it cannot be read.
        """
        entry = self._folder / file.sha256
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)  # of an earlier try
        if _taken(entry, destination):
            return
        with file_lock(
            self._locks / file.sha256,
            grows=destination,
            patience_seconds=self._patience_seconds,
            check=check,
        ):
            if not _taken(entry, destination):
                self.fetch_checked(file, destination, check=check)
                self._keep(destination, entry, check=check)

    def fetch(self, object_key: str, destination: Path, *, check: Check = go_on) -> None:
        """Put an object at `destination`, past the cache and unchecked: for what is read once.

        Raises:
            StorageError: it cannot be read.
        """
        check()
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)
        local = self._objects.local_path(object_key)
        if local is None or not _linked(local, destination, key=object_key):
            self._objects.download(object_key, destination, check=check)

    def fetch_checked(self, file: StoredFile, destination: Path, *, check: Check = go_on) -> None:
        """Put a stored file at `destination`, past the cache but checked.

        Raises:
            InputDamaged: its bytes do not have the digest.
            StorageError: it cannot be read.
        """
        self.fetch(file.object_key, destination, check=check)
        if sha256_of(destination, check=check) != file.sha256:
            destination.unlink()
            raise InputDamaged(file.object_key)

    def _keep(self, source: Path, entry: Path, *, check: Check) -> None:
        """Make room for a file and take it into the cache; one larger than that is not kept."""
        size_bytes = source.stat().st_size
        if size_bytes > self._max_bytes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        # One worker at a time: together they would go beyond the bound.
        with file_lock(self._locks / "keep", patience_seconds=self._patience_seconds, check=check):
            entries = sorted(self._entries(), key=lambda item: item.used_at)
            excess = sum(item.size_bytes for item in entries) + size_bytes - self._max_bytes
            for item in entries:
                if excess <= 0:
                    break
                shutil.rmtree(item.folder, ignore_errors=True)
                excess -= item.size_bytes
            entry.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):  # another worker fetched it as well
                os.link(source, entry / "data")

    def _entries(self) -> Iterator["_Entry"]:
        for folder in self._folder.iterdir():
            try:
                size_bytes = (folder / "data").stat().st_size
                yield _Entry(folder, size_bytes, folder.stat().st_mtime)
            except FileNotFoundError:  # another worker removes it at this moment
                continue


@dataclass(frozen=True)
class _Entry:
    folder: Path
    size_bytes: int
    used_at: float


def _taken(entry: Path, destination: Path) -> bool:
    """Link a file of the cache; False if it is not there."""
    try:
        os.link(entry / "data", destination)
    except FileNotFoundError:
        return False
    _touch(entry)
    return True


def _touch(entry: Path) -> None:
    """Note the use on the entry's folder: the file may be one with the stored object."""
    try:
        os.utime(entry)
    except FileNotFoundError:  # another worker has just removed it; we hold our link
        return


def _linked(source: Path, destination: Path, *, key: str) -> bool:
    """Link a local object; False if it lies on another file system."""
    try:
        os.link(source, destination)
    except FileNotFoundError:
        raise ObjectNotFound(key) from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True
