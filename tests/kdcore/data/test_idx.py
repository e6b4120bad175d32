"""A zip of MNIST's four IDX files becomes a dataset, plain or gzipped."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kdcore.data import DatasetDescription, load_dataset
from kdcore.errors import DatasetRejected

Arrays = dict[str, npt.NDArray[Any]]
Files = dict[str, bytes]
Take = Callable[..., DatasetDescription]
Refusal = Callable[..., DatasetRejected]
Bytes = Callable[..., bytes]


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("folder", ["", "MNIST/raw/", "test set/"])
def test_the_four_files_arrive_unchanged(
    take: Take,
    arrays: Arrays,
    idx_files: Files,
    zip_of: Bytes,
    tmp_path: Path,
    *,
    gzipped: bool,
    folder: str,
) -> None:
    files = {"README.md": b"about", "__MACOSX/._x": b"\0\5", ".DS_Store": b"x"}
    for name, content in idx_files.items():
        packed = gzip.compress(content) if gzipped else content
        files[f"{folder}{name}{'.gz' if gzipped else ''}"] = packed
    description = take(zip_of(files), "idx", class_names=("even", "odd"))
    assert description.class_names == ("even", "odd")
    assert (description.image.channels, description.image.height, description.image.width) == (
        1,
        4,
        5,
    )
    dataset = load_dataset(tmp_path / "dataset", verify=True)
    assert np.array_equal(np.asarray(dataset.train.images_NHWC)[..., 0], arrays["x_train"])
    assert np.array_equal(dataset.test.labels_N, arrays["y_test"])


def test_plain_and_gzipped_files_give_the_same_dataset(
    take: Take, idx_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    plain = take(zip_of(idx_files), "idx")
    (tmp_path / "dataset").rename(tmp_path / "first")
    assert plain == take(zip_of({n: gzip.compress(c) for n, c in idx_files.items()}), "idx")


@pytest.mark.parametrize("missing", ["train-images", "train-labels", "t10k-images", "t10k-labels"])
def test_a_missing_file_is_told(
    refusal: Refusal, idx_files: Files, zip_of: Bytes, missing: str
) -> None:
    files = {name: data for name, data in idx_files.items() if not name.startswith(missing)}
    rejection = refusal(zip_of(files), "idx")
    assert rejection.code == "idx_files_missing"
    split, kind = missing.replace("t10k", "test").split("-")
    assert f"{split} {kind}" in rejection.message


def test_two_files_for_one_place_are_refused(
    refusal: Refusal, idx_files: Files, zip_of: Bytes
) -> None:
    again = {"again/train-labels": idx_files["train-labels-idx1-ubyte"]}
    assert refusal(zip_of({**idx_files, **again}), "idx").code == "idx_files_ambiguous"


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("change", [b"", b"more"])
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_more_or_fewer_bytes_than_the_header_says_are_refused(
    refusal: Refusal, idx_files: Files, zip_of: Bytes, *, gzipped: bool, change: bytes, kind: str
) -> None:
    content = idx_files[f"t10k-{kind}-ubyte"]
    content = content + change if change else content[:-1]
    idx_files[f"t10k-{kind}-ubyte"] = gzip.compress(content) if gzipped else content
    assert refusal(zip_of(idx_files), "idx").code == "array_size_wrong"


@pytest.mark.parametrize("damage", ["truncated", "checksum", "followed", "bad block"])
def test_a_damaged_gzip_file_is_refused(
    refusal: Refusal, idx_files: Files, zip_of: Bytes, damage: str
) -> None:
    packed = gzip.compress(idx_files["train-images-idx3-ubyte"])
    idx_files["train-images-idx3-ubyte"] = {
        "truncated": packed[:-9],
        "checksum": packed[:-8] + b"abcd" + packed[-4:],
        "followed": packed + packed,
        "bad block": packed[:10] + b"\xff" * 40,
    }[damage]
    assert refusal(zip_of(idx_files), "idx").code == "archive_damaged"


def test_a_header_that_ends_too_early_is_refused(
    refusal: Refusal, idx_files: Files, zip_of: Bytes
) -> None:
    idx_files["train-images-idx3-ubyte"] = struct.pack(">2L", 0x803, 12)
    assert refusal(zip_of(idx_files), "idx").code == "array_size_wrong"


def test_labels_that_count_from_one_are_refused(
    refusal: Refusal, idx_files: Files, zip_of: Bytes
) -> None:
    head = struct.pack(">2L", 0x801, 12)
    idx_files["train-labels-idx1-ubyte"] = head + bytes([1, 2] * 6)
    rejection = refusal(zip_of(idx_files), "idx")
    assert rejection.code == "class_without_train_examples"
    assert rejection.entries == ("0: 0",)


def test_more_labels_than_images_are_refused(
    refusal: Refusal, idx_files: Files, zip_of: Bytes
) -> None:
    idx_files["train-labels-idx1-ubyte"] = struct.pack(">2L", 0x801, 13) + bytes(13)
    assert refusal(zip_of(idx_files), "idx").code == "array_lengths_differ"


def test_an_idx_file_that_claims_four_terabytes_is_refused_by_its_header(
    refusal: Refusal, idx_files: Files, zip_of: Bytes
) -> None:
    idx_files["train-images-idx3-ubyte"] = struct.pack(">4L", 0x803, 2**30, 64, 64) + b"few"
    assert refusal(zip_of(idx_files), "idx").code == "array_size_wrong"
