"""What a user has becomes the canonical dataset, once."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes.datasets import prepare_dataset

GENERATOR = np.random.default_rng(0)


def test_builtin_dataset_needs_no_source(tmp_path: Path) -> None:
    folder, dataset = prepare_dataset("digits", None, tmp_path)
    assert prepare_dataset("digits", None, tmp_path)[0] == folder
    assert dataset.description.num_classes == 10


def test_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs mnist; say where it lies with --data"):
        prepare_dataset("mnist", None, tmp_path)


def test_canonical_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder, _ = prepare_dataset("digits", None, tmp_path)
    assert prepare_dataset("any", folder, tmp_path / "unused")[0] == folder
    assert not (tmp_path / "unused").exists()


def test_idx_files_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for split, number in (("train", 16), ("t10k", 12)):
        images = GENERATOR.integers(0, 256, (number, 5, 5), np.uint8)
        labels = np.arange(number, dtype=np.uint8) % 2
        header = struct.pack(">4i", 2051, *images.shape)
        (source / f"{split}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        packed = gzip.compress(struct.pack(">2i", 2049, number) + labels.tobytes())
        (source / f"{split}-labels-idx1-ubyte.gz").write_bytes(packed)

    _, dataset = prepare_dataset("mnist", source, tmp_path / "store")
    assert (len(dataset.split("train")), len(dataset.split("test"))) == (16, 12)


def test_binary_cifar_is_read_in_its_own_order_of_colours(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    red_then_rest = np.zeros((20, 3, 32, 32), np.uint8)
    red_then_rest[:, 0] = 200
    labels = np.arange(20, dtype=np.uint8).reshape(20, 1) % 10
    records = np.concatenate([labels, red_then_rest.reshape(20, -1)], axis=1)
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        (source / name).write_bytes(records.tobytes())

    _, dataset = prepare_dataset("cifar10", source, tmp_path / "store")
    assert len(dataset.split("train")) == 40
    assert dataset.split("train").images_NHWC[0, 0, 0].tolist() == [200, 0, 0]
    assert dataset.description.class_names[7] == "horse"


def test_images_in_class_folders_are_read_zipped_or_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = source / split / name
            folder.mkdir(parents=True)
            for number in range(10):
                pixels = GENERATOR.integers(0, 256, (4, 4, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")

    folder, dataset = prepare_dataset("pets", source, tmp_path / "store")
    assert dataset.description.class_names == ("cat", "dog")
    assert prepare_dataset("pets", source, tmp_path / "store")[0] == folder
