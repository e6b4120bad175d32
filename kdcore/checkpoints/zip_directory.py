"""The central directory of a zip file, read by us so that nothing in it is taken on trust.

Only what torch itself writes is read: one disk, no comment, entries whose local headers agree.
All numbers are little-endian (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3).
"""

import struct
from dataclasses import dataclass

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import Code, refusal
from kdcore.checkpoints.reading import OpenFile
from kdcore.errors import CheckpointRejected

_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_SENTINEL_16 = 0xFFFF
_SENTINEL_32 = 0xFFFFFFFF
_ZIP64_EXTRA = 1
_ENCRYPTED_FLAGS = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW_FLAG = 0x0008
STORED = 0


@dataclass(frozen=True)
class ZipEntry:
    """One file in a zip as its central directory describes it."""

    name: str
    size: int
    compressed_size: int
    method: int
    flags: int
    header_offset: int

    @property
    def is_encrypted(self) -> bool:
        """Whether a password is needed."""
        return bool(self.flags & _ENCRYPTED_FLAGS)


@dataclass(frozen=True)
class ZipDirectory:
    """The entries of a zip in the order of its central directory, which begins at `offset`."""

    entries: tuple[ZipEntry, ...]
    offset: int


def read_directory(file: OpenFile) -> ZipDirectory:
    """Read the central directory of a zip.

    Raises:
        CheckpointRejected: if the directory is damaged, too large, or names an entry twice.
    """
    count, size, offset = _find_directory(file)
    if count > limits.MAX_ZIP_ENTRIES or size > limits.MAX_ZIP_DIRECTORY_BYTES:
        raise refusal(
            Code.ZIP_TOO_LARGE,
            f"The zip holds more than {limits.MAX_ZIP_ENTRIES} files. Save only the weights.",
            expected=f"at most {limits.MAX_ZIP_ENTRIES} files",
            found=f"{count} files",
        )
    data = file.read(offset, size)
    entries: dict[str, ZipEntry] = {}
    position = 0
    for _ in range(count):
        entry, position = _central_entry(data, position)
        if entry.name in entries:
            raise refusal(
                Code.ZIP_DUPLICATE,
                "The zip names one file twice, so it can be read in two ways. Save it again.",
            )
        entries[entry.name] = entry
    if position != size:
        raise _damaged()
    return ZipDirectory(tuple(entries.values()), offset)


def data_offset(file: OpenFile, entry: ZipEntry) -> int:
    """Return where the bytes of a stored `entry` begin.

    Raises:
        CheckpointRejected: if the entry's local header and the directory disagree.
    """
    if entry.header_offset + _LOCAL.size > file.size:
        raise _damaged()
    fields = _LOCAL.unpack(file.read(entry.header_offset, _LOCAL.size))
    signature, _, flags, method, _, _, _, compressed_size, size, name_length, extra_length = fields
    if signature != b"PK\x03\x04":
        raise _damaged()
    allowed = {entry.size, _SENTINEL_32}
    if flags & _SIZES_FOLLOW_FLAG:
        allowed.add(0)
    name_offset = entry.header_offset + _LOCAL.size
    start: int = name_offset + name_length + extra_length
    if start + entry.size > file.size:
        raise _damaged()
    if (
        file.read(name_offset, name_length) != entry.name.encode("utf-8")
        or (flags, method) != (entry.flags, entry.method)
        or not {compressed_size, size} <= allowed
    ):
        raise refusal(
            Code.ZIP_DISAGREES,
            "The zip's directory and the files in it disagree, so it can be read in two ways. "
            "Save it again.",
        )
    return start


def _damaged() -> CheckpointRejected:
    return refusal(
        Code.ZIP_DAMAGED,
        "The zip is cut short or damaged, or something was added to it. Upload the whole file "
        "as torch.save wrote it.",
    )


def _find_directory(file: OpenFile) -> tuple[int, int, int]:
    """Return the number of entries, and the size and place of the central directory."""
    end_offset = file.size - _END.size
    if end_offset < 0:
        raise _damaged()
    end = _END.unpack(file.read(end_offset, _END.size))
    signature, disk, directory_disk, count_here, count, size, offset, comment_length = end
    if signature != b"PK\x05\x06" or comment_length or (disk, directory_disk) != (0, 0):
        raise _damaged()
    if count_here != count:
        raise _damaged()
    directory_end = end_offset
    locator_offset = end_offset - _END64_LOCATOR.size
    if locator_offset >= 0 and file.read(locator_offset, 4) == b"PK\x06\x07":
        count64, size64, offset64, directory_end = _read_end64(file, locator_offset)
        if (
            count not in (count64, _SENTINEL_16)
            or size not in (size64, _SENTINEL_32)
            or offset not in (offset64, _SENTINEL_32)
        ):
            raise _damaged()
        count, size, offset = count64, size64, offset64
    if offset + size != directory_end:
        raise _damaged()
    return count, size, offset


def _read_end64(file: OpenFile, locator_offset: int) -> tuple[int, int, int, int]:
    locator = _END64_LOCATOR.unpack(file.read(locator_offset, _END64_LOCATOR.size))
    record_offset = locator[2]
    if record_offset + _END64.size != locator_offset:
        raise _damaged()
    record = _END64.unpack(file.read(record_offset, _END64.size))
    signature, _, _, _, disk, directory_disk, count_here, count, size, offset = record
    if signature != b"PK\x06\x06" or (disk, directory_disk) != (0, 0) or count_here != count:
        raise _damaged()
    return count, size, offset, record_offset


def _central_entry(data: bytes, position: int) -> tuple[ZipEntry, int]:
    if position + _CENTRAL.size > len(data):
        raise _damaged()
    fields = _CENTRAL.unpack_from(data, position)
    flags, method = fields[3], fields[4]
    compressed_size, size, name_length, extra_length, comment_length = fields[8:13]
    header_offset = fields[16]
    name_start = position + _CENTRAL.size
    extra_start = name_start + name_length
    end = extra_start + extra_length + comment_length
    if fields[0] != b"PK\x01\x02" or end > len(data) or fields[13] != 0:
        raise _damaged()
    if name_length > limits.MAX_ZIP_NAME_LENGTH:
        raise _damaged()
    try:
        name = data[name_start:extra_start].decode("utf-8")
    except UnicodeDecodeError:
        raise _damaged() from None
    extra = data[extra_start : extra_start + extra_length]
    size, compressed_size, header_offset = _widened(extra, (size, compressed_size, header_offset))
    return ZipEntry(name, size, compressed_size, method, flags, header_offset), end


def _widened(extra: bytes, numbers: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace those of size, compressed size and offset that did not fit into 32 bits."""
    if _SENTINEL_32 not in numbers:
        return numbers
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        field = extra[position + 4 : position + 4 + length]
        if kind == _ZIP64_EXTRA:
            needed = numbers.count(_SENTINEL_32)
            if len(field) < 8 * needed:
                raise _damaged()
            wide = iter(struct.unpack_from(f"<{needed}Q", field))
            size, compressed_size, offset = (
                next(wide) if number == _SENTINEL_32 else number for number in numbers
            )
            return size, compressed_size, offset
        position += 4 + length
    raise _damaged()
