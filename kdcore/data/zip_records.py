"""Reads the records of a zip file's directory, and holds them against the local headers.

Our own reader, not `zipfile`: it bounds the directory before reading it, and refuses a file whose
two sets of headers disagree instead of believing one of them. Layout: PKWARE APPNOTE 6.3.10.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kdcore.data.rejection import shown
from kdcore.data.zip_end import DirectoryEnd, damaged, read_at
from kdcore.errors import DatasetRejected

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_FULL32 = 0xFFFFFFFF
FLAG_ENCRYPTED = 0x2041  # bits 0, 6 and 13: encrypted, strongly, with masked headers
_FLAG_DESCRIPTOR = 0x0008
_FLAG_UTF8 = 0x0800
_FLAGS_COMPARED = FLAG_ENCRYPTED | _FLAG_DESCRIPTOR | _FLAG_UTF8


@dataclass(frozen=True, slots=True)
class CentralRecord:
    """One record of the central directory; `name` as decoded text."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    unpacked_bytes: int
    unix_mode: int
    header_offset: int


def read_central_records(fd: int, end: DirectoryEnd) -> Iterator[CentralRecord]:
    """Read every record of the central directory, in its order.

    Raises:
        DatasetRejected: `archive_damaged` if the records do not fill the directory exactly.
    """
    directory = read_at(fd, end.offset, end.size_bytes)
    at = 0
    for _ in range(end.num_entries):
        if at + _CENTRAL.size > len(directory):
            raise damaged("its directory is shorter than it says")
        fields = _CENTRAL.unpack_from(directory, at)
        name_end = at + _CENTRAL.size + fields[10]
        extra_end = name_end + fields[11]
        next_at = extra_end + fields[12]
        if fields[0] != b"PK\x01\x02" or next_at > len(directory):
            raise damaged("a directory record is broken")
        raw_name = directory[at + _CENTRAL.size : name_end]
        sizes = (fields[9], fields[8], fields[16])
        unpacked, packed, offset = _with_zip64(sizes, directory[name_end:extra_end])
        yield CentralRecord(
            name=_decode(raw_name, fields[3]),
            raw_name=raw_name,
            flags=fields[3],
            method=fields[4],
            crc32=fields[7],
            packed_bytes=packed,
            unpacked_bytes=unpacked,
            unix_mode=fields[15] >> 16,
            header_offset=offset,
        )
        at = next_at
    if at != len(directory):
        raise damaged("its directory is longer than it says")


def _decode(raw_name: bytes, flags: int) -> str:
    """Decode a name: UTF-8 where flagged, and where macOS wrote it without the flag."""
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _FLAG_UTF8:
            raise damaged("a name is not the UTF-8 that it claims to be") from None
        return raw_name.decode("cp437")


def _with_zip64(values: tuple[int, ...], extra: bytes) -> tuple[int, ...]:
    """Replace the saturated values, in order, by those of the zip64 extra field."""
    if _FULL32 not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        at += 4
        if kind == 1:
            wide = iter(struct.iter_unpack("<Q", extra[at : at + size // 8 * 8]))
            try:
                return tuple(next(wide)[0] if value == _FULL32 else value for value in values)
            except StopIteration:
                break
        at += size
    raise damaged("a 64-bit size is missing")


def find_data(fd: int, record: CentralRecord, directory_offset: int) -> tuple[int, int]:
    """Check one local header against its central record; return where its data begins and ends.

    The end counts the smallest data descriptor where there is one.

    Raises:
        DatasetRejected: `archive_damaged`, `archive_headers_disagree`.
    """
    if record.header_offset + _LOCAL.size + len(record.raw_name) > directory_offset:
        raise damaged("an entry lies outside the file")
    head = read_at(fd, record.header_offset, _LOCAL.size + len(record.raw_name))
    signature, _, flags, method, _, _, crc32, packed, unpacked, name_size, extra_size = (
        _LOCAL.unpack_from(head)
    )
    if signature != b"PK\x03\x04":
        raise damaged("an entry's header is not where the directory says")
    data = record.header_offset + _LOCAL.size + name_size + extra_size
    if data > directory_offset:
        raise damaged("an entry lies outside the file")
    extra = read_at(fd, data - extra_size, extra_size)
    unpacked, packed = _with_zip64((unpacked, packed), extra)
    pairs = (
        (crc32, record.crc32),
        (packed, record.packed_bytes),
        (unpacked, record.unpacked_bytes),
    )
    streamed = bool(flags & _FLAG_DESCRIPTOR)  # a streaming writer may leave the three at 0
    same = (
        head[_LOCAL.size :] == record.raw_name
        and name_size == len(record.raw_name)
        and method == record.method
        and (flags ^ record.flags) & _FLAGS_COMPARED == 0
        and all(found == declared or (streamed and found == 0) for found, declared in pairs)
    )
    if not same:
        raise DatasetRejected(
            "archive_headers_disagree",
            f"The zip describes {shown(record.name)} in two ways that differ. "
            "Make the zip again with another tool.",
            entries=[shown(record.name)],
        )
    end = data + record.packed_bytes + (12 if streamed else 0)
    if end > directory_offset:
        raise damaged("an entry lies outside the file")
    return data, end
