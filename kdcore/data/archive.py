"""Opens a stranger's zip file: every entry is checked before any is unpacked, none is extracted."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from kdcore.data.archive_rules import (
    DEFLATED,
    check_collisions,
    check_extents,
    check_kind,
    check_name,
    check_size,
    refuse_nested_bytes,
)
from kdcore.data.limits import ArchiveLimits
from kdcore.data.streams import ArchiveEntry, EntryStream
from kdcore.data.zip_end import find_directory
from kdcore.data.zip_records import find_data, read_central_records

_SNIFF_BYTES = 512


class Archive:
    """A zip file whose directory has passed every check; a context manager.

    Attributes:
        entries: The files, in the order of the directory.
        folders: Names of the folders that have an entry of their own, without the last slash.
        limits: What it was checked against.
    """

    def __init__(self, path: Path, limits: ArchiveLimits | None = None) -> None:
        """Open `path` and check its directory.

        Raises:
            DatasetRejected: One of the `archive_*` codes, or `not_a_zip`.
        """
        self.limits = limits or ArchiveLimits()
        with contextlib.ExitStack() as on_error:
            self._fd = os.open(path, os.O_RDONLY)
            on_error.callback(os.close, self._fd)
            self.entries, self.folders = _check_all(self._fd, self.limits)
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def fileno(self) -> int:
        """Give the descriptor of the open zip."""
        return self._fd

    def open(self, entry: ArchiveEntry) -> EntryStream:
        """Start to unpack one entry."""
        return EntryStream(self._fd, entry)

    def read(self, entry: ArchiveEntry) -> bytes:
        """Unpack one entry whole; the caller has bounded `entry.size_bytes`."""
        return self.open(entry).read(entry.size_bytes + 1)

    def refuse_nested(self, entries: Iterable[ArchiveEntry]) -> None:
        """Look at the first bytes of files that are not used, and refuse archives among them.

        Raises:
            DatasetRejected: `archive_nested`.
        """
        for entry in entries:
            refuse_nested_bytes(entry.name, self.open(entry).read(_SNIFF_BYTES))


def _check_all(fd: int, limits: ArchiveLimits) -> tuple[tuple[ArchiveEntry, ...], tuple[str, ...]]:
    end = find_directory(fd, os.fstat(fd).st_size, limits)
    entries: list[ArchiveEntry] = []
    folders: list[str] = []
    extents: list[tuple[int, int, str]] = []
    total_bytes = 0
    for record in read_central_records(fd, end):
        check_name(record, limits)
        check_kind(record)
        total_bytes += record.unpacked_bytes
        check_size(record, total_bytes, limits)
        data_offset, data_end = find_data(fd, record, end.offset)
        extents.append((record.header_offset, data_end, record.name))
        if record.name.endswith("/"):
            folders.append(record.name.rstrip("/"))
            continue
        entries.append(
            ArchiveEntry(
                name=record.name,
                size_bytes=record.unpacked_bytes,
                packed_bytes=record.packed_bytes,
                crc32=record.crc32,
                deflated=record.method == DEFLATED,
                data_offset=data_offset,
            )
        )
    check_extents(extents)
    check_collisions([entry.name for entry in entries], folders)
    return tuple(entries), tuple(folders)
