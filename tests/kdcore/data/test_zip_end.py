"""The end of a zip is found in all its lawful forms, and in no other."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from kdcore.data.archive import Archive
from kdcore.data.limits import ArchiveLimits
from kdcore.errors import DatasetRejected

Bytes = Callable[..., bytes]
_END_BYTES = 22


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., list[str]]:
    """Open bytes as an archive; give the names in it."""

    def open_bytes(data: bytes, limits: ArchiveLimits | None = None) -> list[str]:
        path = tmp_path / "upload"
        path.write_bytes(data)
        with Archive(path, limits) as archive:
            return [entry.name for entry in archive.entries]

    return open_bytes


def _as_zip64(
    data: bytes, *, disks: int = 1, move: int = 0, volume: int = 0, extra: int = 0
) -> bytes:
    """Give a zip the 64-bit end record of an archive too large for the plain one."""
    body, end = data[:-_END_BYTES], data[-_END_BYTES:]
    _, _, _, _, count, size, offset, _ = struct.unpack("<4s4H2LH", end)
    end64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, volume, volume, count, count + extra, size, offset
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body) + move, disks)
    saturated = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0
    )
    return body + end64 + locator + saturated


def test_a_comment_at_the_end_is_welcome(opened: Callable[..., list[str]], zip_of: Bytes) -> None:
    data = zip_of({"a": b"1"})
    for comment in (b"hello", b"PK\x05\x06 in the comment", b"x" * 65_535):
        with_comment = data[:-2] + struct.pack("<H", len(comment)) + comment
        assert opened(with_comment) == ["a"]


def test_a_64_bit_end_record_is_read(opened: Callable[..., list[str]], zip_of: Bytes) -> None:
    assert opened(_as_zip64(zip_of({"a": b"1", "b/c": b"2"}))) == ["a", "b/c"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"disks": 2}, "archive_multi_volume"),
        ({"volume": 1}, "archive_multi_volume"),
        ({"extra": 1}, "archive_multi_volume"),
        ({"move": -1}, "archive_damaged"),
        ({"move": 1}, "archive_damaged"),
        ({"move": 2**60}, "archive_damaged"),
    ],
)
def test_a_64_bit_end_record_that_is_off_is_refused(
    opened: Callable[..., list[str]], zip_of: Bytes, change: dict[str, int], code: str
) -> None:
    with pytest.raises(DatasetRejected) as caught:
        opened(_as_zip64(zip_of({"a": b"1"}), **change))
    assert caught.value.code == code


def test_two_end_records_that_disagree_are_refused(
    opened: Callable[..., list[str]], zip_of: Bytes, tamper: Bytes
) -> None:
    data = tamper(_as_zip64(zip_of({"a": b"1"})), "end", entries=2)
    with pytest.raises(DatasetRejected) as caught:
        opened(data)
    assert caught.value.code == "archive_damaged"


def test_an_archive_without_entries_is_empty(
    opened: Callable[..., list[str]], zip_of: Bytes
) -> None:
    assert opened(zip_of({})) == []


def test_entries_and_directory_are_bounded(opened: Callable[..., list[str]], zip_of: Bytes) -> None:
    data = zip_of({"a": b"1", "b": b"2"})
    for limits in (ArchiveLimits(max_entries=1), ArchiveLimits(max_directory_bytes=93)):
        with pytest.raises(DatasetRejected) as caught:
            opened(data, limits)
        assert caught.value.code == "archive_too_many_entries"
    limits = ArchiveLimits(max_entries=2, max_directory_bytes=94)
    assert opened(data, limits) == ["a", "b"]


@pytest.mark.parametrize("change", [{"size": 0}, {"size": 2**31}, {"offset": 0}, {"offset": 2**31}])
def test_a_directory_elsewhere_than_told_is_refused(
    opened: Callable[..., list[str]], zip_of: Bytes, tamper: Bytes, change: dict[str, int]
) -> None:
    with pytest.raises(DatasetRejected) as caught:
        opened(tamper(zip_of({"a": b"1"}), "end", **change))
    assert caught.value.code in ("archive_damaged", "archive_too_many_entries")


def test_names_are_read_in_utf_8_flagged_or_not_else_in_cp437(
    opened: Callable[..., list[str]], zip_of: Bytes, tamper: Bytes
) -> None:
    flagged = zip_of({"é.png": b"1"})
    unflagged = tamper(tamper(flagged, "central", flags=0), "local", flags=0)
    assert opened(flagged) == opened(unflagged) == ["é.png"]
    assert opened(unflagged.replace("é".encode(), b"\x82\x82")) == ["éé.png"]
    with pytest.raises(DatasetRejected) as caught:
        opened(flagged.replace("é".encode(), b"\x82\x82"))
    assert caught.value.code == "archive_damaged"


def test_64_bit_sizes_of_an_entry_are_read(opened: Callable[..., list[str]], zip_of: Bytes) -> None:
    data = zip_of({"a": b"content"}, deflated=False)
    start = data.index(b"PK\x01\x02")
    record, end = bytearray(data[start:-_END_BYTES]), data[-_END_BYTES:]
    struct.pack_into("<2L", record, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    extra = struct.pack("<2H", 0x7777, 3) + b"abc" + struct.pack("<2H2Q", 1, 16, 7, 7)
    struct.pack_into("<H", record, 30, len(extra))
    new_end = bytearray(end)
    struct.pack_into("<L", new_end, 12, len(record) + len(extra))
    assert opened(data[:start] + bytes(record) + extra + bytes(new_end)) == ["a"]
    struct.pack_into("<L", new_end, 12, len(record) + 7)
    struct.pack_into("<H", record, 30, 7)
    with pytest.raises(DatasetRejected) as caught:
        opened(data[:start] + bytes(record) + extra[:7] + bytes(new_end))
    assert caught.value.code == "archive_damaged"


def test_bytes_between_the_directory_and_its_end_record_are_refused(
    opened: Callable[..., list[str]], zip_of: Bytes
) -> None:
    data = zip_of({"a": b"1"})
    with pytest.raises(DatasetRejected) as caught:
        opened(data[:-_END_BYTES] + b"hidden" + data[-_END_BYTES:])
    assert caught.value.code == "archive_damaged"
