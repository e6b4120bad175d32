"""An entry unpacks piece by piece to exactly what the zip declares, or is refused."""

import io
import os
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.data.streams import ArchiveEntry, EntryStream, GzipStream
from kdcore.errors import DatasetRejected

Open = Callable[..., tuple[int, ArchiveEntry]]


def _packed(content: bytes, *, deflated: bool) -> bytes:
    if not deflated:
        return content
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Open]:
    """Write packed bytes between others; give the open file and their entry."""
    opened: list[int] = []

    def write(content: bytes, *, deflated: bool, tail: bytes = b"") -> tuple[int, ArchiveEntry]:
        packed = _packed(content, deflated=deflated) + tail
        path = tmp_path / "packed"
        path.write_bytes(b"before" + packed + b"after")
        fd = os.open(path, os.O_RDONLY)
        opened.append(fd)
        entry = ArchiveEntry("entry", len(content), len(packed), zlib.crc32(content), deflated, 6)
        return fd, entry

    yield write
    for fd in opened:
        os.close(fd)


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1000, 700_000])
@pytest.mark.parametrize("step", [1000, 299_999, 10_000_000])
def test_content_arrives_whole_in_pieces_of_any_size(
    stored: Open, *, deflated: bool, size: int, step: int
) -> None:
    content = random.Random(0).randbytes(size // 2) + b"\0" * (size - size // 2)  # noqa: S311 - no secret
    stream = EntryStream(*stored(content, deflated=deflated))
    pieces = []
    while piece := stream.read(step):
        pieces.append(piece)
        assert len(piece) <= step
    assert b"".join(pieces) == content
    assert stream.read(1) == b""


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("difference", [-600, -1, 1, 600])
def test_another_size_than_declared_is_refused(
    stored: Open, *, deflated: bool, difference: int
) -> None:
    fd, entry = stored(b"abc" * 1000, deflated=deflated)
    stream = EntryStream(fd, replace(entry, size_bytes=entry.size_bytes + difference))
    with pytest.raises(DatasetRejected) as caught:
        stream.read(10_000)
    assert caught.value.code == "archive_sizes_lie"


@pytest.mark.parametrize("size", [0, 1])
def test_bytes_after_the_deflated_stream_are_refused(stored: Open, size: int) -> None:
    stream = EntryStream(*stored(b"a" * size, deflated=True, tail=b"hidden"))
    with pytest.raises(DatasetRejected) as caught:
        stream.read(10)
    assert caught.value.code == "archive_sizes_lie"


def test_a_deflated_stream_without_its_end_is_refused(stored: Open) -> None:
    fd, entry = stored(b"abc" * 100, deflated=True)
    cut = replace(entry, packed_bytes=entry.packed_bytes - 1)
    with pytest.raises(DatasetRejected) as caught:
        EntryStream(fd, cut).read(1000)
    assert caught.value.code in ("archive_damaged", "archive_sizes_lie")


def test_a_file_that_ends_within_the_entry_is_refused(stored: Open) -> None:
    fd, entry = stored(b"abc", deflated=False)
    with pytest.raises(DatasetRejected) as caught:
        EntryStream(fd, replace(entry, data_offset=10**6)).read(3)
    assert caught.value.code == "archive_damaged"


@given(content=st.binary(max_size=300), step=st.integers(1, 50))
def test_gzip_content_arrives_whole_in_pieces(content: bytes, step: int) -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = packer.compress(content) + packer.flush()
    stream = GzipStream(io.BytesIO(packed), name="x", packed_bytes=len(packed))
    pieces = []
    while piece := stream.read(step):
        pieces.append(piece)
    assert b"".join(pieces) == content


def test_empty_blocks_after_the_last_byte_are_read_to_the_end(tmp_path: Path) -> None:
    # Around the size in which packed bytes are read, the end comes in another piece than the data.
    noise = random.Random(0).randbytes(262_144)  # noqa: S311 - no secret
    path = tmp_path / "packed"
    for size in range(262_144 - 140, 262_144, 7):
        packer = zlib.compressobj(0, zlib.DEFLATED, -15)
        packed = packer.compress(noise[:size]) + packer.flush(zlib.Z_SYNC_FLUSH) + packer.flush()
        path.write_bytes(packed)
        entry = ArchiveEntry("x", size, len(packed), zlib.crc32(noise[:size]), True, 0)
        fd = os.open(path, os.O_RDONLY)
        try:
            assert EntryStream(fd, entry).read(size) == noise[:size]
        finally:
            os.close(fd)
