"""Unpacks an entry of a zip, or a gzip file inside it, piece by piece with every byte counted."""

import os
import zlib
from dataclasses import dataclass
from typing import Protocol

from kdcore.data.limits import CHUNK_BYTES, ArchiveLimits
from kdcore.data.rejection import shown
from kdcore.data.zip_end import damaged
from kdcore.errors import DatasetRejected

_PACKED_CHUNK_BYTES = 256 * 2**10
_RAW_DEFLATE = -15
_GZIP = 31


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One file in a zip. `name` is for messages and for telling its place; it is never a path."""

    name: str
    size_bytes: int
    packed_bytes: int
    crc32: int
    deflated: bool
    data_offset: int


class ByteSource(Protocol):
    """Bytes that are read once, front to back."""

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer only where the source ends."""


class _Inflater:
    """Turns packed chunks into unpacked bytes without ever unpacking more than was asked for."""

    def __init__(self, window_bits: int) -> None:
        self._inflate = zlib.decompressobj(window_bits)
        self._packed = b""

    @property
    def needs_input(self) -> bool:
        return not self._packed

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    @property
    def has_surplus(self) -> bool:
        return bool(self._inflate.unused_data)

    def feed(self, packed: bytes) -> None:
        self._packed = packed

    def unpack(self, max_bytes: int) -> bytes:
        try:
            unpacked = self._inflate.decompress(self._packed, max_bytes)
        except zlib.error:
            raise damaged("compressed bytes do not unpack") from None
        self._packed = self._inflate.unconsumed_tail
        return unpacked


class EntryStream:
    """The unpacked bytes of one zip entry; at the end, size and checksum must be as declared.

    Raises:
        DatasetRejected: `archive_sizes_lie` as soon as one byte too many appears, or at the end
            if bytes are missing; `archive_damaged` for a broken stream or checksum.
    """

    def __init__(self, fd: int, entry: ArchiveEntry) -> None:
        self._fd = fd
        self._name = entry.name
        self._offset = entry.data_offset
        self._packed_left = entry.packed_bytes
        self._left = entry.size_bytes
        self._crc32_expected = entry.crc32
        self._crc32 = 0
        self._inflater = _Inflater(_RAW_DEFLATE) if entry.deflated else None
        self._ended = False

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer only where the entry ends."""
        parts: list[bytes] = []
        while size > 0 and not self._ended:
            part = self._read_some(min(size, CHUNK_BYTES))
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        part = self._stored(size) if self._inflater is None else self._inflated(size)
        self._crc32 = zlib.crc32(part, self._crc32)
        self._left -= len(part)
        if self._left < 0:
            raise self._lies()
        if self._left == 0:
            self._finish()
        return part

    def _stored(self, size: int) -> bytes:
        part = self._packed(min(size, self._left))
        if not part and self._left:
            raise self._lies()
        return part

    def _inflated(self, size: int) -> bytes:
        inflater = self._inflater
        assert inflater is not None  # noqa: S101 - `_read_some` asks only deflated entries
        while True:
            if inflater.needs_input:
                inflater.feed(self._packed(_PACKED_CHUNK_BYTES))
            # One byte more than is left shows a stream that goes on past its declared size.
            part = inflater.unpack(min(size, self._left + 1))
            if part or self._left == 0:
                return part
            if inflater.ended or (inflater.needs_input and not self._packed_left):
                raise self._lies()

    def _packed(self, size: int) -> bytes:
        size = min(size, self._packed_left)
        part = os.pread(self._fd, size, self._offset)
        if len(part) < size:
            raise damaged("it ends too early")
        self._offset += size
        self._packed_left -= size
        return part

    def _finish(self) -> None:
        inflater = self._inflater
        if inflater is not None:
            while not inflater.ended and (self._packed_left or not inflater.needs_input):
                if inflater.needs_input:
                    inflater.feed(self._packed(_PACKED_CHUNK_BYTES))
                if inflater.unpack(1):
                    raise self._lies()
            if not inflater.ended:
                raise damaged("compressed bytes end too early")
            if inflater.has_surplus:
                raise self._lies()
        if self._packed_left:
            raise self._lies()
        if self._crc32 != self._crc32_expected:
            raise damaged(f"the checksum of {shown(self._name)} is wrong")
        self._ended = True

    def _lies(self) -> DatasetRejected:
        return DatasetRejected(
            "archive_sizes_lie",
            f"{shown(self._name)} unpacks to another size than the zip declares. "
            "Make the zip again with another tool.",
            entries=[shown(self._name)],
        )


class GzipStream:
    """The unpacked bytes of a gzip file of one member; its own checksum is verified at the end.

    Raises:
        DatasetRejected: `archive_damaged`; `archive_ratio` if it unpacks to far more than it holds.
    """

    def __init__(self, packed: ByteSource, *, name: str, packed_bytes: int) -> None:
        self._source = packed
        self._name = name
        self._inflater = _Inflater(_GZIP)
        limits = ArchiveLimits()
        self._left = max(limits.ratio_free_bytes, packed_bytes * limits.max_ratio)

    def read(self, size: int) -> bytes:
        """Read `size` bytes; fewer only where the gzip file ends."""
        parts: list[bytes] = []
        while size > 0 and not self._inflater.ended:
            if self._inflater.needs_input:
                packed = self._source.read(_PACKED_CHUNK_BYTES)
                if not packed:
                    raise damaged(f"{shown(self._name)} ends too early")
                self._inflater.feed(packed)
            part = self._inflater.unpack(min(size, CHUNK_BYTES))
            self._left -= len(part)
            if self._left < 0:
                raise too_compressed(self._name)
            parts.append(part)
            size -= len(part)
        if self._inflater.ended and (self._inflater.has_surplus or self._source.read(1)):
            raise damaged(f"{shown(self._name)} goes on after its end")
        return b"".join(parts)


def too_compressed(name: str) -> DatasetRejected:
    """Say that an entry unpacks to suspiciously many times its size."""
    return DatasetRejected(
        "archive_ratio",
        f"{shown(name)} unpacks to more than {ArchiveLimits().max_ratio} times its size, which "
        "image data does not. Store it in the zip without compression if it is meant so.",
        entries=[shown(name)],
    )
