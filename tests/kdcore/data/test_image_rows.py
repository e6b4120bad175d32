"""Images in shards are read as if they were one array.

N images, H height, W width, C channels.
"""

import numpy as np
import pytest

from kdcore.data.image_rows import ImageRows, Pixels, choose_images, read_images


@pytest.fixture
def images_NHWC() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (23, 3, 2, 1), dtype=np.uint8)


@pytest.fixture(params=[(23,), (8, 8, 7), (1, 21, 1)])
def rows(request: pytest.FixtureRequest, images_NHWC: Pixels) -> ImageRows:
    return ImageRows(np.split(images_NHWC, np.cumsum(request.param)[:-1]))


def test_shape_and_type_are_those_of_the_whole(rows: ImageRows, images_NHWC: Pixels) -> None:
    assert (rows.shape, rows.dtype, len(rows)) == (images_NHWC.shape, images_NHWC.dtype, 23)


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(7, 9),
        slice(5, 5),
        slice(20, 99),
        slice(-3, None),
        slice(None, None, -2),
        [0],
        [22, 0, 8, 8, 7],
        np.array([15, 16, 0]),
        0,
        -1,
        np.int64(8),
    ],
    ids=str,
)
def test_every_index_gives_what_the_array_gives(
    rows: ImageRows, images_NHWC: Pixels, index: slice | list[int] | int
) -> None:
    found = rows[index]
    assert np.array_equal(found, images_NHWC[index])
    assert found.dtype == np.uint8
    found[:] = 0  # a copy
    assert rows[:].sum() == images_NHWC.sum()


def test_it_becomes_an_array_and_is_gone_through(rows: ImageRows, images_NHWC: Pixels) -> None:
    assert np.array_equal(np.asarray(rows, dtype=np.float32), images_NHWC.astype(np.float32))
    assert all(np.array_equal(one, other) for one, other in zip(rows, images_NHWC, strict=True))
    with pytest.raises(ValueError, match="copy"):
        np.array(rows, copy=False)


def test_chosen_images_are_chosen_from_again(rows: ImageRows, images_NHWC: Pixels) -> None:
    first, second = np.array([22, 3, 8, 9, 15]), np.array([4, 0, 0])
    assert np.array_equal(rows.choose(first).choose(second), images_NHWC[first][second])
    assert np.array_equal(choose_images(rows, first), images_NHWC[first])
    assert np.array_equal(choose_images(images_NHWC, first)[1:], images_NHWC[first][1:])


@pytest.mark.parametrize("index", [[23], [-1], [0, 99]])
def test_positions_that_are_none_are_an_error(rows: ImageRows, index: list[int]) -> None:
    with pytest.raises(IndexError, match="of 23"):
        rows[index]


def test_integers_and_masks_that_mean_nothing_are_an_error(rows: ImageRows) -> None:
    with pytest.raises(IndexError):
        rows[23]
    with pytest.raises(TypeError, match="positions"):
        rows[np.ones(23, dtype=np.bool_)]


def test_images_are_read_into_memory_that_is_there(rows: ImageRows, images_NHWC: Pixels) -> None:
    rows_B = np.array([9, 0, 22])
    for images in (rows, images_NHWC):
        place_BHWC = np.empty((3, 3, 2, 1), dtype=np.uint8)
        read_images(images, rows_B, place_BHWC)
        assert np.array_equal(place_BHWC, images_NHWC[rows_B])
