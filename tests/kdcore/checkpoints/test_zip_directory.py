"""Zip files that can be read in two ways, are cut short, or are made to exhaust the reader."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdcore.checkpoints import Code, open_checkpoint
from kdcore.checkpoints.reading import OpenFile
from kdcore.checkpoints.zip_directory import data_offset, read_directory
from kdcore.errors import CheckpointRejected

Refused = Callable[[bytes], CheckpointRejected]
Build = Callable[..., bytes]


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Replace bytes at `offset` after the first `signature`."""
    start = data.index(signature) + offset
    return data[:start] + value + data[start + len(value) :]


def test_entries_are_listed_with_their_bytes(
    upload: Callable[[bytes], Path], zip_bytes: Build
) -> None:
    with OpenFile(upload(zip_bytes({"a/b": b"one", "a/ü": b""}))) as file:
        directory = read_directory(file)
        first = directory.entries[0]
        assert [entry.name for entry in directory.entries] == ["a/b", "a/ü"]
        assert file.read(data_offset(file, first), first.size) == b"one"


@pytest.mark.parametrize("kept", [4, 30, 100, -1, -23])
def test_truncated_zip_is_refused(refused: Refused, torch_zip_bytes: Build, kept: int) -> None:
    assert refused(torch_zip_bytes()[:kept].ljust(8)).code == Code.ZIP_DAMAGED


def test_bytes_after_the_zip_are_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    assert refused(torch_zip_bytes() + b"x").code == Code.ZIP_DAMAGED


def test_zip_comment_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    data = patched(torch_zip_bytes(), b"PK\x05\x06", 20, b"\x01\x00") + b"x"
    assert refused(data).code == Code.ZIP_DAMAGED


def test_directory_of_another_place_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    data = patched(torch_zip_bytes(), b"PK\x05\x06", 16, struct.pack("<I", 0))
    assert refused(data).code == Code.ZIP_DAMAGED


@pytest.mark.parametrize("count", [1, 3, 5])
def test_wrong_number_of_entries_is_refused(
    refused: Refused, torch_zip_bytes: Build, count: int
) -> None:
    data = patched(torch_zip_bytes(), b"PK\x05\x06", 8, struct.pack("<HH", count, count))
    assert refused(data).code == Code.ZIP_DAMAGED


def test_two_directories_that_disagree_are_refused(
    refused: Refused, saved_by_torch: Callable[[object], bytes]
) -> None:
    data = saved_by_torch({"epoch": 1})
    assert b"PK\x06\x06" in data
    wider = patched(data, b"PK\x06\x06", 24, struct.pack("<QQ", 1, 1))
    assert refused(wider).code == Code.ZIP_DAMAGED


def test_more_entries_than_allowed_are_refused(refused: Refused, zip_bytes: Build) -> None:
    data = zip_bytes({f"a/data/{number}": b"" for number in range(20_017)})
    assert refused(data).code == Code.ZIP_TOO_LARGE


def test_two_files_of_one_name_are_refused(refused: Refused) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data.pkl", b"\x80\x02].")
    assert refused(buffer.getvalue()).code == Code.ZIP_DUPLICATE


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(30, b"B", id="name"),
        pytest.param(8, b"\x08\x00", id="method"),
        pytest.param(6, b"\x08\x00", id="flags"),
        pytest.param(18, b"\x01\x00\x00\x00", id="compressed size"),
        pytest.param(22, b"\x01\x00\x00\x00", id="size"),
    ],
)
def test_local_header_that_disagrees_is_refused(
    refused: Refused, torch_zip_bytes: Build, offset: int, value: bytes
) -> None:
    data = patched(torch_zip_bytes(), b"PK\x03\x04", offset, value)
    assert refused(data).code == Code.ZIP_DISAGREES


def test_missing_local_header_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    data = patched(torch_zip_bytes(), b"PK\x01\x02", 42, struct.pack("<I", 3))
    assert refused(data).code == Code.ZIP_DAMAGED


def test_entries_that_share_bytes_are_refused(refused: Refused) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("archive/data/1", b"inner")
    header_and_data = inner.getvalue()[: inner.getvalue().index(b"PK\x01\x02")]
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("archive/data/0", header_and_data)
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        shared = zipfile.ZipInfo("archive/data/1")
        shared.file_size = shared.compress_size = 5
        shared.CRC = 0
        shared.header_offset = outer.getvalue().index(header_and_data)
        archive.filelist.append(shared)
    assert refused(outer.getvalue()).code == Code.ZIP_OVERLAP


def test_size_lie_past_the_end_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    huge = struct.pack("<II", 2**31, 2**31)
    data = patched(torch_zip_bytes(), b"PK\x01\x02", 20, huge)
    assert refused(data).code == Code.ZIP_DAMAGED


def test_64_bit_sizes_without_their_field_are_refused(
    refused: Refused, torch_zip_bytes: Build
) -> None:
    data = patched(torch_zip_bytes(), b"PK\x01\x02", 20, b"\xff" * 8)
    assert refused(data).code == Code.ZIP_DAMAGED


def test_damaged_directory_is_refused(refused: Refused, torch_zip_bytes: Build) -> None:
    data = torch_zip_bytes()
    for signature, offset, value in (
        (b"PK\x01\x02", 0, b"PK\x01\x03"),
        (b"PK\x01\x02", 28, b"\xff\x7f"),  # length of the name
        (b"PK\x01\x02", 34, b"\x01"),  # number of the disk
        (b"PK\x01\x02", 42, b"\xfe\xff\xff\x7f"),  # place of the local header
        (b"PK\x01\x02", 46, b"\xff"),  # name that is not UTF-8
        (b"PK\x05\x06", 8, b"\x00"),  # entries on this disk
    ):
        assert refused(patched(data, signature, offset, value)).code == Code.ZIP_DAMAGED


def test_name_of_more_than_512_bytes_is_refused(refused: Refused, zip_bytes: Build) -> None:
    assert refused(zip_bytes({"a/" + "b" * 511: b""})).code == Code.ZIP_DAMAGED


@pytest.mark.parametrize(
    ("offset", "value"), [(0, b"PK\x06\x05"), (16, b"\x01"), (20, b"\x01"), (24, b"\xff")]
)
def test_damaged_64_bit_end_is_refused(
    refused: Refused, saved_by_torch: Callable[[object], bytes], offset: int, value: bytes
) -> None:
    data = patched(saved_by_torch({"epoch": 1}), b"PK\x06\x06", offset, value)
    assert refused(data).code == Code.ZIP_DAMAGED


def test_64_bit_end_in_another_place_is_refused(
    refused: Refused, saved_by_torch: Callable[[object], bytes]
) -> None:
    data = patched(saved_by_torch({"epoch": 1}), b"PK\x06\x07", 8, b"\x00\x00")
    assert refused(data).code == Code.ZIP_DAMAGED


def test_64_bit_local_headers_are_read(
    upload: Callable[[bytes], Path], torch_zip_bytes: Build
) -> None:
    """Python writes them when told that a file may grow beyond 4 GiB."""
    source = io.BytesIO(torch_zip_bytes())
    target = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            with new.open(name, "w", force_zip64=True) as entry:
                entry.write(old.read(name))
    with open_checkpoint(upload(target.getvalue())) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]


@pytest.fixture
def large_upload(tmp_path: Path) -> Path:
    """A file of 4.8 GB as torch writes it; both it and its tensor's memory are sparse."""
    memory = str(tmp_path / "memory")
    large = torch.from_file(memory, shared=True, size=1_200_000_000, dtype=torch.float32)
    with torch.serialization.skip_data():
        torch.save({"large": large, "after": torch.empty(3)}, tmp_path / "upload")
    return tmp_path / "upload"


def test_file_beyond_4_gib_is_read(large_upload: Path) -> None:
    path = large_upload
    assert path.stat().st_size > 2**32
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["large"].nbytes == 4_800_000_000
        with path.open("r+b") as file:
            file.seek(checkpoint.tensors["after"].place.offset)
            file.write(struct.pack("<3f", 1, 2, 3))
        assert checkpoint.read("after").tolist() == [1, 2, 3]


def test_64_bit_field_that_is_too_short_is_refused(large_upload: Path) -> None:
    with large_upload.open("r+b") as file:
        file.seek(-4096, io.SEEK_END)
        tail = file.read()
        field = tail.index(b"\x01\x00\x10\x00")  # the 64-bit sizes of one entry
        file.seek(field + 2 - len(tail), io.SEEK_END)
        file.write(b"\x04\x00")
    with pytest.raises(CheckpointRejected) as caught:
        open_checkpoint(large_upload)
    assert caught.value.code == Code.ZIP_DAMAGED
