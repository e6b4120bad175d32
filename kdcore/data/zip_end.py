"""Finds a zip file's central directory from its end record, and bounds it before it is read."""

import os
import struct
from dataclasses import dataclass

from kdcore.data.limits import ArchiveLimits
from kdcore.errors import DatasetRejected

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_FULL16 = 0xFFFF
_FULL32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class DirectoryEnd:
    """Where the central directory lies and how many records it holds."""

    offset: int
    size_bytes: int
    num_entries: int


def damaged(detail: str) -> DatasetRejected:
    """Say that the file is no whole, consistent zip."""
    return DatasetRejected(
        "archive_damaged",
        f"The zip file is damaged or cut off: {detail}. Make it again and upload it again.",
    )


def read_at(fd: int, offset: int, size: int) -> bytes:
    """Read exactly `size` bytes at `offset`, which leaves the file's own position alone."""
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(fd, size, offset)
        if not part:
            raise damaged("it ends too early")
        parts.append(part)
        offset += len(part)
        size -= len(part)
    return b"".join(parts)


def find_directory(fd: int, file_bytes: int, limits: ArchiveLimits) -> DirectoryEnd:
    """Find the central directory from the end of the file, and bound it.

    Raises:
        DatasetRejected: `not_a_zip`, `archive_damaged`, `archive_multi_volume`,
            `archive_too_many_entries`.
    """
    if file_bytes < 4 or read_at(fd, 0, 4) not in (b"PK\x03\x04", b"PK\x05\x06"):
        raise DatasetRejected("not_a_zip", "The file is not a zip archive; upload a .zip file.")
    position, end = _read_end(fd, file_bytes)
    if end.num_entries > limits.max_entries:
        raise DatasetRejected(
            "archive_too_many_entries",
            f"The zip holds {end.num_entries} entries; at most {limits.max_entries} are read. "
            "Upload the images as arrays in an npz instead.",
        )
    if end.size_bytes > limits.max_directory_bytes:
        raise DatasetRejected(
            "archive_too_many_entries",
            f"The zip's directory has {end.size_bytes} bytes; at most "
            f"{limits.max_directory_bytes} are read. Shorten the names or drop extra fields.",
        )
    if end.offset + end.size_bytes != position:
        raise damaged("the directory is not where the end record says")
    return end


def _read_end(fd: int, file_bytes: int) -> tuple[int, DirectoryEnd]:
    """Find the end record; return where the directory must end, and what the record says."""
    tail_offset = max(0, file_bytes - _END.size - _FULL16)
    tail = read_at(fd, tail_offset, file_bytes - tail_offset)
    at = tail.rfind(b"PK\x05\x06")
    # The comment must reach exactly to the end of the file: a signature inside one does not.
    while at >= 0 and tail[at + _END.size - 2 : at + _END.size] != struct.pack(
        "<H", max(0, len(tail) - at - _END.size) & _FULL16
    ):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        raise damaged("it has no end record")
    _, disk, directory_disk, here, total, size, offset, _ = _END.unpack_from(tail, at)
    position = tail_offset + at
    locator = position - _END64_LOCATOR.size
    if locator >= 0 and read_at(fd, locator, 4) == b"PK\x06\x07":
        position, end64 = _read_end64(fd, locator)
        pairs = ((total, _FULL16, end64.num_entries), (size, _FULL32, end64.size_bytes))
        for small, full, large in (*pairs, (offset, _FULL32, end64.offset)):
            if small not in (full, large):
                raise damaged("its two end records disagree")
        return position, end64
    if (disk, directory_disk) != (0, 0) or here != total:
        raise _multi_volume()
    return position, DirectoryEnd(offset, size, total)


def _read_end64(fd: int, locator: int) -> tuple[int, DirectoryEnd]:
    _, _, position, disks = _END64_LOCATOR.unpack(read_at(fd, locator, _END64_LOCATOR.size))
    if disks > 1:
        raise _multi_volume()
    if position + _END64.size > locator:
        raise damaged("its 64-bit end record is out of place")
    fields = _END64.unpack(read_at(fd, position, _END64.size))
    if fields[0] != b"PK\x06\x06" or position + 12 + fields[1] != locator:
        raise damaged("its 64-bit end record is out of place")
    if fields[4:6] != (0, 0) or fields[6] != fields[7]:
        raise _multi_volume()
    return position, DirectoryEnd(offset=fields[9], size_bytes=fields[8], num_entries=fields[7])


def _multi_volume() -> DatasetRejected:
    return DatasetRejected(
        "archive_multi_volume", "The zip is one volume of several; upload it as a single file."
    )
