"""An npz of image and label arrays becomes a dataset, or is refused by the array at fault."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kdcore.data import DatasetDescription, load_dataset
from kdcore.errors import DatasetRejected

Arrays = dict[str, npt.NDArray[Any]]
Take = Callable[..., DatasetDescription]
Refusal = Callable[..., DatasetRejected]
Bytes = Callable[..., bytes]


def _check_holds(folder: Path, arrays: Arrays) -> None:
    dataset = load_dataset(folder, verify=True)
    for split, key in ((dataset.train, "train"), (dataset.test, "test")):
        assert np.array_equal(np.asarray(split.images_NHWC)[..., 0], arrays[f"x_{key}"])
        assert np.array_equal(split.labels_N, arrays[f"y_{key}"].reshape(-1))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_arrives_unchanged(
    take: Take, arrays: Arrays, tmp_path: Path, save: Callable[..., None]
) -> None:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    description = take(buffer.getvalue(), "npz")
    _check_holds(tmp_path / "dataset", arrays)
    assert description.class_names == ("0", "1")
    assert description.splits["train"].class_counts == (6, 6)


def test_a_zip_written_to_a_pipe_is_read(take: Take, arrays: Arrays, tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Cannot seek, so sizes follow the data."""

        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.content += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    take(bytes(pipe.content), "npz")
    _check_holds(tmp_path / "dataset", arrays)


def test_the_longer_names_mean_the_same_and_other_arrays_stay_unread(
    take: Take, arrays: Arrays, npz_of: Bytes, tmp_path: Path
) -> None:
    renamed = {
        "train_images": arrays["x_train"],
        "train_labels": arrays["y_train"][:, np.newaxis],
        "test_images": arrays["x_test"],
        "test_labels": arrays["y_test"][:, np.newaxis],
        "val_images": np.array([{"never": "read"}], dtype=object),
    }
    take(npz_of(renamed), "npz")
    _check_holds(tmp_path / "dataset", arrays)


@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">i2", "<i4", ">i8", "<u8"])
def test_labels_may_be_any_integers(
    take: Take, arrays: Arrays, npz_of: Bytes, tmp_path: Path, dtype: str
) -> None:
    arrays["y_train"] = arrays["y_train"].astype(dtype)
    take(npz_of(arrays), "npz")
    _check_holds(tmp_path / "dataset", arrays)


def test_colour_and_several_chunks_arrive_unchanged(
    take: Take, rng: np.random.Generator, npz_of: Bytes, tmp_path: Path
) -> None:
    images_NHWC = rng.integers(0, 256, (450, 70, 70, 3), dtype=np.uint8)
    labels_N = rng.integers(0, 3, 450)
    splits = {"x_train": images_NHWC[:400], "y_train": labels_N[:400]}
    take(npz_of({**splits, "x_test": images_NHWC[400:], "y_test": labels_N[400:]}), "npz")
    dataset = load_dataset(tmp_path / "dataset", verify=True)
    assert np.array_equal(dataset.train.images_NHWC, images_NHWC[:400])
    assert np.array_equal(dataset.test.images_NHWC, images_NHWC[400:])
    expected = images_NHWC[:400].reshape(-1, 3) / 255
    assert np.allclose(dataset.description.mean, expected.mean(axis=0), rtol=1e-12)
    assert np.allclose(dataset.description.std, expected.std(axis=0), rtol=1e-12)


def test_without_splits_a_fifth_of_each_class_is_set_aside(
    take: Take, rng: np.random.Generator, npz_of: Bytes, tmp_path: Path
) -> None:
    images_NHW = rng.integers(0, 256, (150, 4, 5), dtype=np.uint8)
    labels_N = np.repeat([0, 1, 2], [100, 40, 10])
    data = npz_of({"x": images_NHW, "y": labels_N})
    description = take(data, "npz", class_names=("a", "b", "c"))
    assert description.splits["test"].class_counts == (20, 8, 2)
    assert description.splits["train"].class_counts == (80, 32, 8)
    dataset = load_dataset(tmp_path / "dataset")
    seen = [
        image.tobytes() for split in (dataset.train, dataset.test) for image in split.images_NHWC
    ]
    assert sorted(seen) == sorted(image.tobytes() for image in images_NHW)
    label_of = {image.tobytes(): label for image, label in zip(images_NHW, labels_N, strict=True)}
    for image, label in zip(dataset.test.images_NHWC, dataset.test.labels_N, strict=True):
        assert label_of[image.tobytes()] == label


@pytest.mark.parametrize("missing", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_array_is_named(
    refusal: Refusal, arrays: Arrays, npz_of: Bytes, missing: str
) -> None:
    del arrays[missing]
    rejection = refusal(npz_of(arrays), "npz")
    assert rejection.code == "npz_arrays_missing"
    assert missing in rejection.message


def test_an_npz_of_other_things_is_refused(refusal: Refusal, npz_of: Bytes, zip_of: Bytes) -> None:
    assert refusal(npz_of({"weights": np.zeros(3)}), "npz").code == "npz_arrays_missing"
    assert refusal(zip_of({}), "npz").code == "npz_arrays_missing"
    assert refusal(zip_of({"x.npy": b"no array", "y.npy": b""}), "npz").code == "array_unreadable"


def test_two_names_for_one_array_are_refused(
    refusal: Refusal, arrays: Arrays, npz_of: Bytes
) -> None:
    arrays["train_images"] = arrays["x_train"]
    assert refusal(npz_of(arrays), "npz").code == "npz_arrays_ambiguous"


@pytest.mark.parametrize(
    ("name", "array", "code"),
    [
        ("x_train", np.zeros((12, 4, 5), dtype=np.float32), "images_not_uint8"),
        ("x_train", np.zeros((12, 4, 5), dtype=np.int64), "images_not_uint8"),
        ("x_train", np.zeros((12, 4, 5), dtype=np.bool_), "images_not_uint8"),
        ("x_train", np.zeros((12, 20), dtype=np.uint8), "images_wrong_shape"),
        ("x_train", np.zeros((12, 3, 8, 8), dtype=np.uint8), "images_wrong_shape"),
        ("x_train", np.zeros((12, 4, 5, 1, 1), dtype=np.uint8), "images_wrong_shape"),
        ("x_train", np.zeros((0, 4, 5), dtype=np.uint8), "split_empty"),
        ("x_train", np.zeros((11, 4, 5), dtype=np.uint8), "array_lengths_differ"),
        ("x_train", np.zeros((12, 4, 6), dtype=np.uint8), "images_differ_in_size"),
        ("x_train", np.asfortranarray(np.zeros((12, 4, 5), dtype=np.uint8)), "array_fortran_order"),
        ("y_train", np.zeros(12), "labels_not_integer"),
        ("y_train", np.array(["cat"] * 12), "array_unreadable"),
        ("y_train", np.zeros((12, 2), dtype=np.int64), "labels_wrong_shape"),
        ("y_train", np.array(3), "labels_wrong_shape"),
        ("y_train", np.zeros(12, dtype=np.int64), "class_without_train_examples"),
        ("y_train", np.arange(12) % 2 - 1, "label_out_of_range"),
        ("y_train", np.full(12, 2**63, dtype=np.uint64), "label_out_of_range"),
        ("y_train", np.arange(12) % 2 + 1, "class_without_train_examples"),
        ("y_test", np.array([0, 1, 2, 3]), "class_without_train_examples"),
        ("y_test", np.array([0, 1, 0, 10_000]), "label_out_of_range"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    refusal: Refusal,
    arrays: Arrays,
    npz_of: Bytes,
    *,
    name: str,
    array: npt.NDArray[Any],
    code: str,
) -> None:
    arrays[name] = array
    assert refusal(npz_of(arrays), "npz").code == code


def test_a_label_out_of_range_is_named_with_its_place(
    refusal: Refusal, arrays: Arrays, npz_of: Bytes
) -> None:
    arrays["y_train"][7] = -4
    assert refusal(npz_of(arrays), "npz").entries == ("y_train.npy[7] = -4",)


def test_a_single_class_is_refused(refusal: Refusal, arrays: Arrays, npz_of: Bytes) -> None:
    arrays["y_train"][:] = 0
    arrays["y_test"][:] = 0
    assert refusal(npz_of(arrays), "npz").code == "one_class"


def test_too_few_examples_are_refused(refusal: Refusal, arrays: Arrays, npz_of: Bytes) -> None:
    arrays |= {"x_train": arrays["x_train"][:9], "y_train": arrays["y_train"][:9]}
    assert refusal(npz_of(arrays), "npz").code == "too_few_examples"


def test_class_names_must_be_as_many_as_the_classes(
    refusal: Refusal, take: Take, arrays: Arrays, npz_of: Bytes
) -> None:
    data = npz_of(arrays)
    assert refusal(data, "npz", class_names=("a", "b", "c")).code == "class_names_mismatch"
    assert refusal(data, "npz", class_names=("a", "a")).code == "class_names_invalid"
    assert refusal(data, "npz", class_names=("a", "")).code == "class_names_invalid"
    assert refusal(data, "npz", class_names=("a",)).code == "one_class"
    assert take(data, "npz", class_names=("a", "b")).class_names == ("a", "b")


@pytest.mark.parametrize("shape", [(1, 4097), (4097, 1), (4, 0), (0, 0), (4, 5, 17), (4, 5, 0)])
def test_image_sizes_out_of_range_are_refused(
    refusal: Refusal, arrays: Arrays, npz_of: Bytes, shape: tuple[int, ...]
) -> None:
    arrays["x_train"] = np.zeros((12, *shape), dtype=np.uint8)
    arrays["x_test"] = np.zeros((4, *shape), dtype=np.uint8)
    assert refusal(npz_of(arrays), "npz").code == "image_size_unsupported"


@pytest.mark.parametrize("change", [b"", b"one byte more"])
def test_an_array_with_more_or_fewer_bytes_than_its_header_says_is_refused(
    refusal: Refusal, arrays: Arrays, npz_of: Bytes, zip_of: Bytes, change: bytes
) -> None:
    with zipfile.ZipFile(io.BytesIO(npz_of(arrays))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    content = files["x_test.npy"]
    files["x_test.npy"] = content + change if change else content[:-1]
    assert refusal(zip_of(files), "npz").code == "array_size_wrong"


def test_an_array_of_objects_is_refused(refusal: Refusal, arrays: Arrays, npz_of: Bytes) -> None:
    arrays["x_train"] = np.array([{"not": "run"}] * 12, dtype=object)
    assert refusal(npz_of(arrays), "npz").code == "array_holds_objects"


def test_an_array_that_claims_four_terabytes_is_refused_by_its_header(
    refusal: Refusal, arrays: Arrays, npz_of: Bytes, zip_of: Bytes
) -> None:
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**30, 64, 64)}
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(io.BytesIO(npz_of(arrays))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["x_train.npy"] = buffer.getvalue() + b"few"
    assert refusal(zip_of(files), "npz").code == "array_size_wrong"
