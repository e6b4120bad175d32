"""A small picture of each class, whatever size the images have."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdcore.data import ingest
from worker.thumbnails import write_thumbnails


def make_dataset(folder: Path, *, shape_HWC: tuple[int, int, int]) -> Path:
    labels_N = np.arange(20) % 2
    images_NHWC = np.zeros((20, *shape_HWC), dtype=np.uint8)
    images_NHWC[labels_N == 1] = 255
    file = io.BytesIO()
    np.savez(file, images=images_NHWC, labels=labels_N)
    (folder / "arrays.npz").write_bytes(file.getvalue())
    ingest(folder / "arrays.npz", format="npz", name="two", destination=folder / "dataset")
    return folder / "dataset"


@pytest.mark.parametrize(
    ("shape_HWC", "size"),
    [((8, 8, 1), (64, 64)), ((8, 4, 3), (32, 64)), ((100, 200, 3), (64, 32))],
)
def test_longer_side_has_64_pixels(
    shape_HWC: tuple[int, int, int], size: tuple[int, int], tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path, shape_HWC=shape_HWC)
    thumbnails = write_thumbnails(dataset, tmp_path / "thumbnails")
    assert [thumbnail.class_name for thumbnail in thumbnails] == ["0", "1"]
    for thumbnail, value in zip(thumbnails, (0, 255), strict=True):
        with Image.open(tmp_path / "thumbnails" / thumbnail.name) as picture:
            assert picture.size == size
            assert set(np.unique(np.asarray(picture))) == {value}


def test_images_that_are_neither_grey_nor_rgb_have_none(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shape_HWC=(8, 8, 2))
    assert write_thumbnails(dataset, tmp_path / "thumbnails") == ()
