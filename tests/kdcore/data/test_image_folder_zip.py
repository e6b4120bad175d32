"""A zip of images in class folders becomes a dataset, however it is laid out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdcore.data import DatasetDescription, load_dataset
from kdcore.data.images import decode_image
from kdcore.errors import DatasetRejected

Files = dict[str, bytes]
Take = Callable[..., DatasetDescription]
Refusal = Callable[..., DatasetRejected]
Bytes = Callable[..., bytes]


def _check_holds(folder: Path, files: Files, class_names: tuple[str, ...]) -> None:
    """Compare with the files of `<split>/<class>/<file>`, sorted by label and name."""
    dataset = load_dataset(folder, verify=True)
    for split in ("train", "test"):
        expected = [
            (decode_image(files[name], name=name), label)
            for label, class_name in enumerate(class_names)
            for name in sorted(files)
            if name.startswith(f"{split}/{class_name}/")
        ]
        found = dataset.train if split == "train" else dataset.test
        assert found.labels_N.tolist() == [label for _, label in expected]
        assert np.array_equal(found.images_NHWC, [image for image, _ in expected])


@pytest.mark.parametrize("root", ["", "my pets/"])
@pytest.mark.parametrize("spelling", [("train", "test"), ("Training", "TESTING")])
def test_train_and_test_folders_arrive_unchanged(
    take: Take,
    image_files: Files,
    zip_of: Bytes,
    tmp_path: Path,
    *,
    root: str,
    spelling: tuple[str, str],
) -> None:
    files = {
        f"{root}{name.replace('train', spelling[0]).replace('test', spelling[1])}": content
        for name, content in image_files.items()
    }
    description = take(zip_of(files), "image_folder_zip")
    assert description.class_names == ("cat", "dog")
    assert description.name == "shapes"
    assert description.splits["train"].class_counts == (6, 6)
    assert description.splits["test"].class_counts == (2, 2)
    assert description.image.channels == 3
    _check_holds(tmp_path / "dataset", image_files, ("cat", "dog"))


def test_what_systems_and_people_leave_beside_the_images_is_not_used(
    take: Take, image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    beside = {
        "__MACOSX/train/cat/._0.png": b"\0\5\x16\7",
        "train/.DS_Store": b"x",
        "train/cat/.DS_Store": b"x",
        "train/cat/._1.png": b"x",
        "train/dog/Thumbs.db": b"x",
        "train/dog/.ipynb_checkpoints/0-checkpoint.png": b"x",
        "README.md": b"about these pets",
        "train/labels.csv": b"name,label",
        "val/cat/1.png": image_files["train/cat/0.png"],
    }
    take(zip_of({**beside, **image_files}), "image_folder_zip")
    _check_holds(tmp_path / "dataset", image_files, ("cat", "dog"))


def test_folder_entries_are_welcome(
    take: Take, image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    folders = {"train/": b"", "train/cat/": b"", "train/dog/": b"", "test/": b"", "test/dog/": b""}
    take(zip_of({**folders, **image_files}), "image_folder_zip")
    _check_holds(tmp_path / "dataset", image_files, ("cat", "dog"))


@pytest.mark.parametrize("root", ["", "pets/"])
def test_without_splits_a_fifth_of_each_class_is_set_aside(
    take: Take,
    rng: np.random.Generator,
    encode: Bytes,
    zip_of: Bytes,
    tmp_path: Path,
    *,
    root: str,
) -> None:
    sizes = {"cat": 20, "dog": 10}
    files = {
        f"{root}{name}/{number:02}.png": encode(rng.integers(0, 256, (4, 5), dtype=np.uint8))
        for name, size in sizes.items()
        for number in range(size)
    }
    description = take(zip_of(files), "image_folder_zip")
    assert description.splits["train"].class_counts == (16, 8)
    assert description.splits["test"].class_counts == (4, 2)
    dataset = load_dataset(tmp_path / "dataset")
    name_of = {decode_image(content, name="").tobytes(): name for name, content in files.items()}
    found = {
        split: {name_of[image.tobytes()] for image in dataset.split(split).images_NHWC}
        for split in ("train", "test")
    }
    assert found["train"] | found["test"] == set(files)
    assert not found["train"] & found["test"]
    (tmp_path / "dataset").rename(tmp_path / "first")
    assert take(zip_of(dict(reversed(files.items()))), "image_folder_zip") == description


def test_class_names_give_the_order_of_the_labels(
    take: Take, refusal: Refusal, image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    data = zip_of(image_files)
    description = take(data, "image_folder_zip", class_names=["dog", "cat"])
    assert description.class_names == ("dog", "cat")
    _check_holds(tmp_path / "dataset", image_files, ("dog", "cat"))
    for names in (["cat", "hound"], ["cat", "dog", "cow"]):
        rejection = refusal(data, "image_folder_zip", class_names=names)
        assert rejection.code == "class_names_mismatch"


def test_grey_files_stay_grey_and_one_colour_file_makes_all_rgb(
    take: Take, image_files: Files, encode: Bytes, zip_of: Bytes, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    grey = {name: encode(rng.integers(0, 256, (4, 5), dtype=np.uint8)) for name in image_files}
    assert take(zip_of(grey), "image_folder_zip").image.channels == 1
    _check_holds(tmp_path / "dataset", grey, ("cat", "dog"))
    (tmp_path / "dataset").rename(tmp_path / "grey")
    last = "test/dog/1.png"  # the very last that is read
    mixed = {**grey, last: image_files[last]}
    assert take(zip_of(mixed), "image_folder_zip").image.channels == 3
    dataset = load_dataset(tmp_path / "dataset", verify=True)
    grey_dataset = load_dataset(tmp_path / "grey")
    as_rgb = np.repeat(grey_dataset.train.images_NHWC, 3, axis=3)
    assert np.array_equal(dataset.train.images_NHWC, as_rgb)
    assert np.array_equal(dataset.test.images_NHWC[-1], decode_image(image_files[last], name=last))


def test_images_of_several_sizes_are_refused_with_the_first_that_differ(
    refusal: Refusal, image_files: Files, encode: Bytes, zip_of: Bytes
) -> None:
    for number in range(30):
        image_files[f"train/dog/x{number:02}.png"] = encode(np.zeros((7, 6), dtype=np.uint8))
    rejection = refusal(zip_of(image_files), "image_folder_zip")
    assert rejection.code == "images_differ_in_size"
    assert rejection.entries[0] == "train/dog/x00.png: 6×7"
    assert "5×4" in rejection.message
    assert len(rejection.entries) == 20


@pytest.mark.parametrize(("num_bad", "is_accepted"), [(1, True), (2, False)])
def test_half_a_percent_of_undecodable_images_is_left_out_and_counted(
    take: Take, refusal: Refusal, image_files: Files, zip_of: Bytes, *, num_bad: int,
    is_accepted: bool,
) -> None:  # fmt: skip
    one = image_files["train/cat/0.png"]
    files = {f"train/cat/m{number:03}.png": one for number in range(200 - 16 - num_bad)}
    bad = {f"train/dog/bad{number}.png": one[:20] for number in range(num_bad)}
    data = zip_of({**image_files, **files, **bad})
    if is_accepted:
        description = take(data, "image_folder_zip")
        assert description.splits["train"].num_skipped == num_bad
        assert description.splits["test"].num_skipped == 0
        assert description.splits["train"].num_examples == 196 - num_bad
    else:
        rejection = refusal(data, "image_folder_zip")
        assert rejection.code == "images_undecodable"
        assert rejection.entries == tuple(bad)


def test_the_first_twenty_undecodable_images_are_named(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    bad = {f"train/dog/bad{number:02}.png": b"bad" for number in range(40)}
    rejection = refusal(zip_of({**image_files, **bad}), "image_folder_zip")
    assert rejection.entries == tuple(bad)[:20]


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        ("train/cat/", "split_empty"),
        ("train/", "split_empty"),
        ("test/", "split_empty"),
        ("nothing", "layout_unknown"),
    ],
)
def test_missing_splits_are_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, kept: str, code: str
) -> None:
    files = {name: data for name, data in image_files.items() if name.startswith(kept)}
    assert refusal(zip_of(files), "image_folder_zip").code == code


def test_a_split_of_empty_folders_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    files = {name: data for name, data in image_files.items() if name.startswith("train")}
    folders = {"test/": b"", "test/cat/": b"", "test/dog/": b""}
    assert refusal(zip_of({**folders, **files}), "image_folder_zip").code == "split_empty"


def test_a_class_folder_without_images_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    rejection = refusal(zip_of({"train/cow/": b"", **image_files}), "image_folder_zip")
    assert rejection.code == "class_without_train_examples"
    assert rejection.entries == ("1: cow",)


def test_a_class_of_the_test_split_alone_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    image_files["test/cow/1.png"] = image_files["test/cat/0.png"]
    rejection = refusal(zip_of(image_files), "image_folder_zip")
    assert rejection.code == "class_without_train_examples"


@pytest.mark.parametrize("layout", ["{split}/cat/{file}", "cat/{split}{file}"])
def test_one_class_is_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes, layout: str
) -> None:
    files = {}
    for name, content in image_files.items():
        split, class_name, file = name.split("/")
        files[layout.format(split=split, file=f"{class_name}{file}")] = content
    assert refusal(zip_of(files), "image_folder_zip").code == "one_class"


@pytest.mark.parametrize(
    "name", ["0.png", "train/0.png", "train/cat/deeper/0.png", "extra/cat/0.png", "cat/0.JPG"]
)
def test_images_out_of_place_are_refused_not_dropped(
    refusal: Refusal, image_files: Files, zip_of: Bytes, name: str
) -> None:
    image_files[name] = image_files["train/cat/0.png"]
    assert refusal(zip_of(image_files), "image_folder_zip").code == "layout_unknown"


def test_too_few_images_are_refused(refusal: Refusal, image_files: Files, zip_of: Bytes) -> None:
    for number in range(2):
        del image_files[f"train/cat/{number}.png"], image_files[f"train/dog/{number}.png"]
    assert refusal(zip_of(image_files), "image_folder_zip").code == "too_few_examples"


def test_a_class_of_one_image_cannot_be_split(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    files = {name.removeprefix("train/"): data for name, data in image_files.items()
             if name.startswith("train")}  # fmt: skip
    files["cow/1.png"] = files["cat/0.png"]
    rejection = refusal(zip_of(files), "image_folder_zip")
    assert rejection.code == "too_few_examples"
    assert rejection.entries == ("cow",)


def test_more_classes_than_supported_are_refused(
    refusal: Refusal, image_files: Files, zip_of: Bytes
) -> None:
    files = {f"train/c{number}/1.png": b"" for number in range(9_999)}
    rejection = refusal(zip_of({**image_files, **files}), "image_folder_zip")
    assert rejection.code == "too_many_classes"


def test_pictures_larger_than_the_limit_are_refused(
    refusal: Refusal, image_files: Files, encode: Bytes, zip_of: Bytes
) -> None:
    wide = encode(np.zeros((1, 4097), dtype=np.uint8))
    files = dict.fromkeys(image_files, wide)
    assert refusal(zip_of(files), "image_folder_zip").code == "image_size_unsupported"


def test_hostile_class_names_are_text_and_nothing_more(
    take: Take, image_files: Files, zip_of: Bytes
) -> None:
    files = {
        name.replace("cat", "<script>alert(1)<").replace("dog", "'; DROP TABLE--"): content
        for name, content in image_files.items()
    }
    description = take(zip_of(files), "image_folder_zip")
    assert description.class_names == ("'; DROP TABLE--", "<script>alert(1)<")


def test_statistics_are_those_of_the_train_split(
    take: Take, image_files: Files, zip_of: Bytes, tmp_path: Path
) -> None:
    description = take(zip_of(image_files), "image_folder_zip")
    values = np.asarray(load_dataset(tmp_path / "dataset").train.images_NHWC) / 255
    assert np.allclose(description.mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert np.allclose(description.std, values.std(axis=(0, 1, 2)), rtol=1e-12)
    assert description.image_input.mean == description.mean
    assert description.image_input.shape_CHW == (3, 4, 5)
