"""The digits are scikit-learn's own, split the same way each time."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kdcore.data import BUILTIN_NAMES, builtin, load_dataset
from kdcore.errors import DatasetRejected


def test_digits_have_the_published_counts(tmp_path: Path) -> None:
    description = builtin("digits", tmp_path / "digits")
    train, test = description.splits["train"], description.splits["test"]
    assert (train.num_examples, test.num_examples) == (1438, 359)
    total = [a + b for a, b in zip(train.class_counts, test.class_counts, strict=True)]
    assert total == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert test.class_counts == (36, 36, 35, 37, 36, 36, 36, 36, 35, 36)
    assert description.class_names == tuple("0123456789")
    assert description.image.channels == 1
    assert (description.image.height, description.image.width) == (8, 8)
    # The split decides every number that is ever published on digits; it must not move.
    assert train.images_sha256.startswith("9b0615a9d624")
    assert test.labels_sha256.startswith("7c94dcd2b8ad")


def test_digits_are_the_originals_scaled_to_bytes(tmp_path: Path) -> None:
    builtin("digits", tmp_path / "digits")
    dataset = load_dataset(tmp_path / "digits", verify=True)
    digits = load_digits()
    expected = {
        (np.floor(image * 255 / 16 + 0.5).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(digits.images, digits.target, strict=True)
    }
    found = [
        (image.tobytes(), int(label))
        for split in (dataset.train, dataset.test)
        for image, label in zip(split.images_NHWC, split.labels_N, strict=True)
    ]
    assert len(found) == 1797
    assert set(found) == expected
    assert np.max(dataset.train.images_NHWC) == 255


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DatasetRejected) as caught:
        builtin("imagenet", tmp_path / "x")
    assert caught.value.code == "unknown_builtin"
    assert all(name in caught.value.message for name in BUILTIN_NAMES)
    assert not list(tmp_path.iterdir())
