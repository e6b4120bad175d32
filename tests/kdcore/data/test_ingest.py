"""A dataset folder appears complete or not at all, and mutated uploads meet known refusals."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdcore.data import DatasetDescription, DatasetFormat, ingest, load_dataset
from kdcore.errors import DatasetRejected

Files = dict[str, bytes]
Bytes = Callable[..., bytes]

# Every code that a dataset can be refused with.
CODES = frozenset(
    {
        "archive_compression_unsupported",
        "archive_damaged",
        "archive_encrypted",
        "archive_entries_overlap",
        "archive_has_link",
        "archive_headers_disagree",
        "archive_multi_volume",
        "archive_name_too_long",
        "archive_name_unsafe",
        "archive_names_collide",
        "archive_nested",
        "archive_ratio",
        "archive_sizes_lie",
        "archive_too_large",
        "archive_too_many_entries",
        "array_fortran_order",
        "array_holds_objects",
        "array_lengths_differ",
        "array_size_wrong",
        "array_unreadable",
        "class_names_invalid",
        "class_names_mismatch",
        "class_without_train_examples",
        "dataset_too_large",
        "idx_files_ambiguous",
        "idx_files_missing",
        "image_16_bit",
        "image_decoder_crashed",
        "image_many_frames",
        "image_size_unsupported",
        "image_too_large",
        "images_differ_in_size",
        "images_not_uint8",
        "images_undecodable",
        "images_wrong_shape",
        "label_out_of_range",
        "labels_not_integer",
        "labels_wrong_shape",
        "layout_unknown",
        "not_a_zip",
        "npz_arrays_ambiguous",
        "npz_arrays_missing",
        "one_class",
        "split_empty",
        "too_few_examples",
        "too_many_classes",
        "too_many_examples",
        "unknown_builtin",
    }
)


def test_the_folder_holds_the_five_files_and_nothing_else(
    take: Callable[..., DatasetDescription], image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    description = take(zip_of(image_files), "image_folder_zip")
    assert sorted(path.name for path in (tmp_path / "dataset").iterdir()) == [
        "dataset.json",
        "test-images.npy",
        "test-labels.npy",
        "train-images.npy",
        "train-labels.npy",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "upload"]
    assert load_dataset(tmp_path / "dataset").description == description


def test_one_upload_gives_the_same_bytes_each_time(
    take: Callable[..., DatasetDescription], image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    take(zip_of(image_files), "image_folder_zip")
    first = {path.name: path.read_bytes() for path in (tmp_path / "dataset").iterdir()}
    (tmp_path / "dataset").rename(tmp_path / "first")
    take(zip_of(dict(reversed(image_files.items())), deflated=False), "image_folder_zip")
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "dataset").iterdir()}


def test_an_existing_dataset_is_not_overwritten(
    take: Callable[..., DatasetDescription], image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine").write_text("kept")
    with pytest.raises(OSError, match="not empty"):
        take(zip_of(image_files), "image_folder_zip")
    assert (tmp_path / "dataset" / "mine").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "upload"]


def test_no_file_stays_open(
    take: Callable[..., DatasetDescription],
    refusal: Callable[..., DatasetRejected],
    image_files: Files,
    zip_of: Bytes,
) -> None:
    before = _num_open_files()
    refusal(zip_of(image_files), "idx")
    refusal(b"no zip", "idx")
    refusal(zip_of({**image_files, "test/dog/last.png": b""}), "image_folder_zip")
    take(zip_of(image_files), "image_folder_zip")
    assert _num_open_files() == before


@pytest.mark.parametrize("dataset_format", ["image_folder_zip", "npz", "idx"])
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_mutated_upload_is_taken_or_refused_with_a_listed_code(
    image_files: Files,
    arrays: Mapping[str, npt.NDArray[Any]],
    npz_of: Bytes,
    idx_files: Files,
    zip_of: Bytes,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    dataset_format: DatasetFormat,
    data: st.DataObject,
) -> None:
    good = {
        "image_folder_zip": zip_of(image_files),
        "npz": npz_of(arrays),
        "idx": zip_of(idx_files),
    }[dataset_format]
    mutated = _mutated(good, data)
    room = tmp_path_factory.mktemp("room")
    (room / "upload").write_bytes(mutated)
    try:
        ingest(room / "upload", format=dataset_format, name="mutated", destination=room / "dataset")
    except DatasetRejected as rejection:
        code = rejection.code
    else:
        code = "taken"
        load_dataset(room / "dataset", verify=True)
    assert code in CODES | {"taken"}
    left = sorted(path.name for path in room.iterdir())
    assert left == (["dataset", "upload"] if code == "taken" else ["upload"])


def _num_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _mutated(good: bytes, data: st.DataObject) -> bytes:
    """Change bytes anywhere, but often where the headers are."""
    changed = bytearray(good)
    places = [
        at + offset
        for signature, size in ((b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22))
        for at in _all_of(good, signature)
        for offset in range(size)
    ]
    anywhere = st.integers(0, len(good) - 1)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places) | anywhere)
        changed[at] = data.draw(st.sampled_from([0, 1, 2, 8, 127, 255]) | st.integers(0, 255))
    if data.draw(st.integers(0, 9)) == 0:
        del changed[data.draw(anywhere) :]
    return bytes(changed)


def _all_of(data: bytes, signature: bytes) -> list[int]:
    found = []
    at = data.find(signature)
    while at >= 0:
        found.append(at)
        at = data.find(signature, at + 1)
    return found
