"""Images are spread over files of a bounded size, and say the same as one file would.

N images, H height, W width, C channels.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kdcore.data import DatasetDescription, load_dataset
from kdcore.data.image_rows import ImageRows, Pixels
from kdcore.data.shard_writer import ShardWriter
from kdcore.errors import DatasetDamaged

Take = Callable[..., DatasetDescription]
Bytes = Callable[..., bytes]

IMAGE_BYTES = 4 * 5  # of the fixture's arrays: 12 train and 4 test images


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def sharded(
    monkeypatch: pytest.MonkeyPatch,
    take: Take,
    arrays: Mapping[str, npt.NDArray[Any]],
    npz_of: Bytes,
    tmp_path: Path,
) -> Path:
    """A dataset whose shards have room for five images, and some bytes."""
    monkeypatch.setattr("kdcore.data.canonical.SHARD_BYTES", 5 * IMAGE_BYTES + 3)
    take(npz_of(arrays), "npz")
    return tmp_path / "dataset"


@pytest.mark.parametrize("part_sizes", [[12], [5, 7], [1] * 12, [4, 0, 4, 4]])
@pytest.mark.parametrize("shard_images", [1, 5, 6, 12, 13])
def test_shards_hold_the_images_in_order_however_they_come(
    tmp_path: Path, rng: np.random.Generator, part_sizes: list[int], shard_images: int
) -> None:
    images_NHWC: Pixels = rng.integers(0, 256, (12, 2, 3, 1), dtype=np.uint8)
    writer = ShardWriter(tmp_path, "train", (2, 3, 1), shard_bytes=6 * shard_images)
    for part_NHWC in np.split(images_NHWC, np.cumsum(part_sizes)[:-1]):
        writer.append(part_NHWC)
    whole, shards = writer.finish()
    writer.close()
    files = sorted(tmp_path.iterdir())
    assert (whole, writer.num_images) == (sha256(images_NHWC.tobytes()), 12)
    parts = [np.load(path) for path in files]
    assert np.array_equal(np.concatenate(parts), images_NHWC)
    if shard_images >= 12:
        assert ([path.name for path in files], shards) == (["train-images.npy"], ())
    else:
        names = [f"train-images-{number:05}.npy" for number in range(-(-12 // shard_images))]
        assert [path.name for path in files] == names
        assert [shard.sha256 for shard in shards] == [sha256(part.tobytes()) for part in parts]
        assert [shard.num_examples for shard in shards] == [len(part) for part in parts]
        assert max(len(part) for part in parts) == shard_images


def test_image_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "test", (2, 3, 1), shard_bytes=1)
    writer.append(np.zeros((2, 2, 3, 1), dtype=np.uint8))
    _, shards = writer.finish()
    writer.close()
    assert [shard.num_examples for shard in shards] == [1, 1]


def test_dataset_in_shards_reads_like_one_in_one_file(
    sharded: Path, arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    dataset = load_dataset(sharded, verify=True)
    assert sorted(path.name for path in sharded.iterdir()) == [
        "dataset.json",
        "test-images.npy",
        "test-labels.npy",
        "train-images-00000.npy",
        "train-images-00001.npy",
        "train-images-00002.npy",
        "train-labels.npy",
    ]
    train = dataset.description.splits["train"]
    assert [shard.num_examples for shard in train.shards] == [5, 5, 2]
    assert train.images_sha256 == sha256(arrays["x_train"].tobytes())
    assert isinstance(dataset.train.images_NHWC, ImageRows)
    assert isinstance(dataset.test.images_NHWC, np.ndarray)
    for key in ("train", "test"):
        split = dataset.split("train" if key == "train" else "test")
        assert np.array_equal(np.asarray(split.images_NHWC)[..., 0], arrays[f"x_{key}"])
        part = split.rows(1, 4)
        assert np.array_equal(part.images_NHWC, split.images_NHWC[1:4])
        assert part.labels_N.tolist() == split.labels_N[1:4].tolist()
        some = split.subset(np.array([3, 0]))
        assert np.array_equal(some.images_NHWC, split.images_NHWC[[3, 0]])


def test_what_fits_one_file_is_described_as_it_was_before_there_were_shards(
    take: Take, arrays: Mapping[str, npt.NDArray[Any]], npz_of: Bytes, tmp_path: Path
) -> None:
    """The description's digest names the dataset, and jobs that go on compare it."""
    description = take(npz_of(arrays), "npz")
    told = json.loads((tmp_path / "dataset" / "dataset.json").read_text())
    assert list(told["splits"]["train"]) == [
        "num_examples",
        "class_counts",
        "images_sha256",
        "labels_sha256",
        "num_skipped",
    ]
    assert json.loads(description.model_dump_json()) == told


def test_dataset_in_one_file_is_read_however_large_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rng: np.random.Generator
) -> None:
    """As releases before shards wrote it: `numpy.save` and a description that knows of none."""
    monkeypatch.setattr("kdcore.data.canonical.SHARD_BYTES", 1)
    splits = {}
    written = {}
    for split, size in (("train", 30), ("test", 10)):
        written[split] = rng.integers(0, 256, (size, 3, 3, 1), dtype=np.uint8)
        labels_N = np.arange(size) % 2
        np.save(tmp_path / f"{split}-images.npy", written[split])
        np.save(tmp_path / f"{split}-labels.npy", labels_N)
        splits[split] = {
            "num_examples": size,
            "class_counts": [size // 2, size // 2],
            "images_sha256": sha256(written[split].tobytes()),
            "labels_sha256": sha256(labels_N.tobytes()),
            "num_skipped": 0,
        }
    told = {
        "name": "old",
        "class_names": ["even", "odd"],
        "image": {"channels": 1, "height": 3, "width": 3},
        "splits": splits,
        "mean": [0.5],
        "std": [0.25],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(told, indent=2))
    dataset = load_dataset(tmp_path, verify=True)
    assert np.array_equal(dataset.train.images_NHWC, written["train"])
    assert np.array_equal(dataset.test.images_NHWC, written["test"])
    assert json.loads(dataset.description.model_dump_json()) == told


@pytest.mark.parametrize("damage", ["missing", "half", "other", "bit"])
def test_damaged_shard_is_refused_by_name(sharded: Path, damage: str) -> None:
    path = sharded / "train-images-00001.npy"
    content = path.read_bytes()
    changed = {
        "half": content[: len(content) // 2],
        "other": (sharded / "train-images-00002.npy").read_bytes(),
        "bit": content[:-1] + bytes([content[-1] ^ 1]),
    }
    path.unlink()
    if damage != "missing":
        path.write_bytes(changed[damage])
    with pytest.raises(DatasetDamaged, match="train-images-00001"):
        load_dataset(sharded, verify=damage == "bit")


def test_shards_that_are_not_the_whole_are_refused(sharded: Path) -> None:
    told = json.loads((sharded / "dataset.json").read_text())
    told["splits"]["train"]["images_sha256"] = "0" * 64
    (sharded / "dataset.json").write_text(json.dumps(told))
    with pytest.raises(DatasetDamaged, match="train images"):
        load_dataset(sharded, verify=True)
    told["splits"]["train"]["shards"].pop()
    (sharded / "dataset.json").write_text(json.dumps(told))
    with pytest.raises(DatasetDamaged, match="unreadable"):
        load_dataset(sharded)


def test_second_pass_leaves_no_shard_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
    take: Take,
    rng: np.random.Generator,
    encode: Bytes,
    zip_of: Bytes,
    tmp_path: Path,
) -> None:
    """A colour image after grey ones has them all written again, three times as large."""
    monkeypatch.setattr("kdcore.data.canonical.SHARD_BYTES", 40)
    files = {
        f"{split}/{name}/{number}.png": encode(rng.integers(0, 256, (4, 5), dtype=np.uint8))
        for split in ("train", "test")
        for name in ("cat", "dog")
        for number in range(6)
    }
    colour = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    files["test/dog/9.png"] = encode(colour)
    description = take(zip_of(files), "image_folder_zip")
    dataset = load_dataset(tmp_path / "dataset", verify=True)
    assert len(description.splits["train"].shards) == 12
    assert len(list((tmp_path / "dataset").iterdir())) == 12 + 13 + 3
    assert np.array_equal(dataset.test.images_NHWC[-1], colour)
