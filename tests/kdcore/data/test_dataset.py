"""A canonical folder opens as mapped arrays, and a damaged one is refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kdcore.data import DatasetDescription, load_dataset
from kdcore.errors import DatasetDamaged

Bytes = Callable[..., bytes]


@pytest.fixture
def folder(
    take: Callable[..., DatasetDescription],
    arrays: Mapping[str, npt.NDArray[Any]],
    npz_of: Bytes,
    tmp_path: Path,
) -> Path:
    take(npz_of(arrays), "npz")
    return tmp_path / "dataset"


def test_arrays_are_mapped_plain_and_read_only(folder: Path) -> None:
    dataset = load_dataset(folder)
    for split in (dataset.split("train"), dataset.split("test")):
        assert isinstance(split.images_NHWC, np.ndarray)
        assert split.images_NHWC.dtype == np.uint8
        assert split.labels_N.dtype == np.int64
        assert isinstance(split.images_NHWC.base, np.memmap)
        assert not split.images_NHWC.flags.writeable
        assert split.images_NHWC.flags.c_contiguous
        assert split.images_NHWC.shape == (len(split), 4, 5, 1)


def test_a_subset_holds_the_examples_at_the_positions_given(folder: Path) -> None:
    train = load_dataset(folder).train
    subset = train.subset(np.array([2, 0]))
    assert subset.labels_N.tolist() == [train.labels_N[2], train.labels_N[0]]
    assert np.array_equal(subset.images_NHWC, train.images_NHWC[[2, 0]])


@pytest.mark.parametrize(
    "name",
    ["dataset.json", "train-images.npy", "train-labels.npy", "test-images.npy", "test-labels.npy"],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "other"])
def test_a_damaged_folder_is_refused(folder: Path, name: str, damage: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "missing":
        changed = {"empty": b"", "half": content[: len(content) // 2], "other": b"{}"}[damage]
        (folder / name).write_bytes(changed)
    with pytest.raises(DatasetDamaged):
        load_dataset(folder)


def test_a_changed_pixel_shows_when_verifying(folder: Path) -> None:
    path = folder / "train-images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load_dataset(folder)
    with pytest.raises(DatasetDamaged, match="train-images"):
        load_dataset(folder, verify=True)


@pytest.mark.parametrize("label", [-1, 2, 2**62])
def test_labels_out_of_range_are_refused_without_verifying(folder: Path, label: int) -> None:
    labels_N = np.load(folder / "test-labels.npy")
    labels_N[0] = label
    np.save(folder / "test-labels.npy", labels_N)
    with pytest.raises(DatasetDamaged, match="labels"):
        load_dataset(folder)


def test_an_array_of_another_shape_or_type_is_refused(folder: Path) -> None:
    images_NHWC = np.load(folder / "test-images.npy")
    for other in (images_NHWC[:-1], images_NHWC[:, :, :-1], images_NHWC.astype(np.int16)):
        np.save(folder / "test-images.npy", other)
        with pytest.raises(DatasetDamaged, match="test-images"):
            load_dataset(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mean", [0.5, 0.5]),
        ("class_names", ["a", "b", "c"]),
        ("class_names", ["a"]),
        ("extra", 1),
        ("splits", {}),
        ("name", "x" * 201),
        ("std", [0.5, 0.5]),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(
    folder: Path, field: str, value: Any
) -> None:
    description = json.loads((folder / "dataset.json").read_text())
    description[field] = value
    (folder / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DatasetDamaged):
        load_dataset(folder)


@pytest.mark.parametrize("counts", [[5, 6], [12], [6, 6, 0]])
def test_class_counts_that_do_not_add_up_are_refused(folder: Path, counts: list[int]) -> None:
    description = json.loads((folder / "dataset.json").read_text())
    description["splits"]["train"]["class_counts"] = counts
    (folder / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DatasetDamaged):
        load_dataset(folder)
