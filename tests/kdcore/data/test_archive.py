"""Every hostile zip is refused by its own code, leaving nothing behind."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kdcore.data.archive import Archive
from kdcore.data.limits import ArchiveLimits
from kdcore.errors import DatasetRejected

Files = dict[str, bytes]
Refusal = Callable[..., DatasetRejected]
Bytes = Callable[..., bytes]
_FORMATS = ("image_folder_zip", "npz", "idx")


@pytest.mark.parametrize("dataset_format", _FORMATS)
@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 100, b"\x80\x04K\x01.", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_zip_is_refused(refusal: Refusal, dataset_format: str, data: bytes) -> None:
    assert refusal(data, dataset_format).code == "not_a_zip"


@pytest.mark.parametrize("dataset_format", _FORMATS)
def test_a_zip_cut_off_anywhere_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, dataset_format: str
) -> None:
    data = zip_of(image_files)
    for size in (4, 40, len(data) // 2, len(data) - 23, len(data) - 1):
        assert refusal(data[:size], dataset_format).code == "archive_damaged"


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "train/cat/../../../evil.png",
        "/etc/evil.png",
        "train//evil.png",
        "./train/cat/evil.png",
        "C:/evil.png",
        "c:evil.png",
        "..\\evil.png",
        "train\\cat\\evil.png",
        "\\\\server\\share\\evil.png",
        "train/cat/evil\n.png",
        "train/cat/evil\x1b[31m.png",
    ],
)
def test_names_that_are_not_plain_and_relative_are_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, name: str
) -> None:
    rejection = refusal(zip_of({**image_files, name: b"x"}), "image_folder_zip")
    assert rejection.code == "archive_name_unsafe"
    assert len(rejection.entries) == 1


def test_a_name_with_a_nul_is_refused(refusal: Refusal, image_files: Files, zip_of: Bytes) -> None:
    data = zip_of({**image_files, "train/cat/evil~.png": b"x"}).replace(b"evil~", b"evil\0")
    assert refusal(data, "image_folder_zip").code == "archive_name_unsafe"


@pytest.mark.parametrize("name", ["a" * 600, "/".join("abcdefghi"), "é" * 300])
def test_names_that_are_too_long_or_too_deep_are_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, name: str
) -> None:
    rejection = refusal(zip_of({**image_files, name: b"x"}), "image_folder_zip")
    assert rejection.code == "archive_name_too_long"
    assert all(len(entry) <= 120 for entry in rejection.entries)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("train/cat/X.png", "train/cat/x.PNG"),
        ("train/cat/same.png", "train/cat/same.png"),
        ("train/Cat/9.png", "train/cat/8.png"),
        ("train/caf\u00e9/1.png", "train/cafe\u0301/1.png"),
        ("a", "a"),
        ("train/dog/0.png/more.png", "train/dog/0.png"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_one_on_many_systems_are_refused(
    refusal: Refusal, one: str, other: str
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(one, b"1")
        archive.writestr(other, b"2")
    rejection = refusal(buffer.getvalue(), "image_folder_zip")
    assert rejection.code == "archive_names_collide"
    assert len(rejection.entries) == 2


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666, 0o140777, 0o060666])
def test_links_and_special_files_are_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes, mode: int
) -> None:
    data = tamper(zip_of(image_files), "central", attributes=mode << 16)
    assert refusal(data, "image_folder_zip").code == "archive_has_link"


def test_a_file_in_a_folder_s_clothes_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes
) -> None:
    data = tamper(zip_of(image_files), "central", attributes=0o040755 << 16)
    assert refusal(data, "image_folder_zip").code == "archive_has_link"
    with_content = zip_of({"train/cat/": b"content", **image_files})
    assert refusal(with_content, "image_folder_zip").code == "archive_sizes_lie"


@pytest.mark.parametrize("flags", [0x0001, 0x0041, 0x2000])
def test_an_encrypted_zip_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes, flags: int
) -> None:
    data = tamper(tamper(zip_of(image_files), "central", flags=flags), "local", flags=flags)
    assert refusal(data, "image_folder_zip").code == "archive_encrypted"


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 95])
def test_other_compression_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes, method: int
) -> None:
    data = tamper(tamper(zip_of(image_files), "central", method=method), "local", method=method)
    rejection = refusal(data, "image_folder_zip")
    assert rejection.code == "archive_compression_unsupported"


def test_an_aes_zip_is_called_encrypted(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes
) -> None:
    data = tamper(zip_of(image_files), "central", method=99)
    assert refusal(data, "image_folder_zip").code == "archive_encrypted"


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize(
    "change",
    [{"packed": 7}, {"unpacked": 7}, {"crc32": 7}, {"method": 12}, {"flags": 0x0800}],
)
def test_two_headers_that_disagree_are_refused(
    refusal: Refusal,
    image_files: Files,
    zip_of: Bytes,
    tamper: Bytes,
    *,
    change: Mapping[str, int],
    deflated: bool,
) -> None:
    data = tamper(zip_of(image_files, deflated=deflated), "local", 3, **change)
    assert refusal(data, "image_folder_zip").code == "archive_headers_disagree"


def test_another_name_in_the_local_header_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    data = zip_of(image_files).replace(b"train/cat/3.png", b"train/dog/9.png", 1)
    assert refusal(data, "image_folder_zip").code == "archive_headers_disagree"


@pytest.mark.parametrize("declared", [1, 50, 5000, 2**20])
def test_a_deflated_entry_that_unpacks_to_another_size_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes, declared: int
) -> None:
    data = tamper(zip_of(image_files), "local", unpacked=declared)
    data = tamper(data, "central", unpacked=declared)
    assert refusal(data, "image_folder_zip").code == "archive_sizes_lie"


def test_a_stored_entry_of_two_sizes_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes
) -> None:
    data = zip_of(image_files, deflated=False)
    data = tamper(tamper(data, "local", unpacked=9), "central", unpacked=9)
    assert refusal(data, "image_folder_zip").code == "archive_sizes_lie"


def test_a_wrong_checksum_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes
) -> None:
    data = tamper(tamper(zip_of(image_files), "local", crc32=1), "central", crc32=1)
    assert refusal(data, "image_folder_zip").code == "archive_damaged"


def test_a_wrong_checksum_in_an_array_is_refused(
    refusal: Refusal, arrays: Mapping[str, npt.NDArray[Any]], npz_of: Bytes, tamper: Bytes
) -> None:
    data = tamper(tamper(npz_of(arrays), "local", crc32=1), "central", crc32=1)
    assert refusal(data, "npz").code == "archive_damaged"


def test_entries_that_share_bytes_are_refused(
    refusal: Refusal, zip_of: Bytes, tamper: Bytes
) -> None:
    # The second record points at the first entry, under the first one's name in other case.
    data = zip_of({"train/cat/1.png": b"same", "train/cat/2.png": b"same"}, deflated=False)
    first_of_central = data.index(b"PK\x01\x02")
    directory = data[first_of_central:].replace(b"2.png", b"1.png")
    data = data[:first_of_central] + directory
    assert refusal(tamper(data, "central", 1, offset=0), "idx").code == "archive_entries_overlap"


def test_an_entry_whose_data_reaches_into_the_next_is_refused(
    refusal: Refusal, zip_of: Bytes, tamper: Bytes
) -> None:
    data = zip_of({"a": b"A" * 20, "b": b"B" * 20}, deflated=False)
    for record in ("local", "central"):
        data = tamper(data, record, packed=40, unpacked=40)
    assert refusal(data, "idx").code == "archive_entries_overlap"


def test_a_bomb_of_a_thousand_to_one_is_refused_by_its_headers(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    bomb = zip_of({**image_files, "train/cat/bomb.png": b"\0" * (64 * 2**20)})
    assert len(bomb) < 2**17
    assert refusal(bomb, "image_folder_zip").code == "archive_ratio"


def test_a_bomb_with_small_declared_sizes_is_stopped_while_it_unpacks(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes
) -> None:
    bomb = zip_of({"train/cat/bomb.png": b"\0" * (64 * 2**20), **image_files})
    for record in ("local", "central"):
        bomb = tamper(bomb, record, unpacked=200)
    assert refusal(bomb, "image_folder_zip").code == "archive_sizes_lie"


def test_a_gzip_bomb_inside_is_refused(refusal: Refusal, idx_files: Files, zip_of: Bytes) -> None:
    count = 2**20
    head = struct.pack(">4L", 0x803, count, 4, 5)
    idx_files["train-images-idx3-ubyte"] = gzip.compress(head + b"\0" * (20 * count))
    idx_files["train-labels-idx1-ubyte"] = struct.pack(">2L", 0x801, count) + b"\0\1" * (count // 2)
    assert refusal(zip_of(idx_files, deflated=False), "idx").code == "archive_ratio"


def test_more_bytes_in_all_than_allowed_are_refused_by_the_headers(
    image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(zip_of(image_files))
    total = sum(map(len, image_files.values()))
    with Archive(path, ArchiveLimits(max_total_bytes=total)) as archive:
        assert sum(entry.size_bytes for entry in archive.entries) == total
    with pytest.raises(DatasetRejected) as caught:
        Archive(path, ArchiveLimits(max_total_bytes=total - 1))
    assert caught.value.code == "archive_too_large"


def test_three_hundred_thousand_entries_are_refused_before_they_are_read(refusal: Refusal) -> None:
    count = 300_000
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 6, 0)
    record = struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0
    )
    directory = b"".join(record + b"%06d" % number for number in range(count))
    start = len(local) + 6
    end64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0xFFFFFFFF, 0
    )
    data = local + b"000000" + directory + end64 + locator + end
    assert refusal(data, "image_folder_zip").code == "archive_too_many_entries"


@pytest.mark.parametrize("count", [0, 3, 200])
def test_a_wrong_number_of_entries_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes, count: int
) -> None:
    data = tamper(zip_of(image_files), "end", entries=count, entries_here=count)
    assert refusal(data, "image_folder_zip").code == "archive_damaged"


def test_one_volume_of_several_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, tamper: Bytes
) -> None:
    data = tamper(zip_of(image_files), "end", disk=2)
    assert refusal(data, "image_folder_zip").code == "archive_multi_volume"


@pytest.mark.parametrize("name", ["train/cat/inner.zip", "inner.tar.gz", "train/dog/x.7z"])
def test_an_archive_in_the_archive_is_refused_by_its_name(
    refusal: Refusal, image_files: Files, zip_of: Bytes, name: str
) -> None:
    assert refusal(zip_of({**image_files, name: b""}), "image_folder_zip").code == "archive_nested"


@pytest.mark.parametrize("name", ["train/cat/inner.png", "README.txt", "train/notes"])
@pytest.mark.parametrize("dataset_format", ["image_folder_zip", "idx"])
def test_a_zip_in_the_zip_is_refused_by_its_bytes(
    refusal: Refusal, image_files: Files, zip_of: Bytes, name: str, dataset_format: str
) -> None:
    nested = zip_of({**image_files, name: zip_of(image_files)})
    assert refusal(nested, dataset_format).code == "archive_nested"


def test_a_tar_in_the_zip_is_refused_by_its_bytes(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    tar = b"name".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0")
    assert refusal(zip_of({**image_files, "notes": tar}), "image_folder_zip").code == (
        "archive_nested"
    )


def test_a_zip_behind_other_bytes_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, encode: Bytes
) -> None:
    picture = encode(np.zeros((4, 5), dtype=np.uint8))
    assert refusal(picture + zip_of(image_files), "image_folder_zip").code == "not_a_zip"
    buffer = io.BytesIO(picture)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:  # with offsets that fit the picture in front
        archive.writestr("train/cat/1.png", picture)
    assert refusal(buffer.getvalue(), "image_folder_zip").code == "not_a_zip"
    hidden = zip_of({"a": b"1"}) + zip_of(image_files)
    assert refusal(hidden, "image_folder_zip").code == "archive_damaged"
