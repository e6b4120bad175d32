"""Images are held on the device where they fit, and read ahead where not: the same bytes.

N images, B of a batch.
"""

import numpy as np
import pytest
import torch

from kdcore.data.device_images import (
    DeviceImages,
    HeldImages,
    Selection,
    StreamedImages,
    place_images,
)
from kdcore.data.free_memory import free_bytes
from kdcore.data.image_rows import ImageRows, Pixels, choose_images

CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
ROWS = np.arange(1, 40, 2)


@pytest.fixture
def images() -> ImageRows:
    pixels: Pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 2, 1), dtype=np.uint8)
    pixels.flags.writeable = False
    return ImageRows(np.split(pixels, [7, 30]))


def select(key: int, rows: list[int], device: torch.device) -> Selection:
    rows_B = np.array(rows)
    return Selection(key, rows_B, torch.from_numpy(rows_B).to(device))


def both(images: ImageRows, device: torch.device) -> list[DeviceImages]:
    return [
        HeldImages(images, ROWS, device=device),
        StreamedImages(choose_images(images, ROWS), device=device),
    ]


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_batches_are_the_chosen_images(images: ImageRows, device: torch.device) -> None:
    for placed in both(images, device):
        wanted = [select(key, [key, 19, 0], device) for key in range(10)]
        for key, selection in enumerate(wanted):
            found = placed.batch(selection, wanted[key + 1 : key + 1 + placed.num_ahead])
            assert found.device.type == device.type
            assert np.array_equal(found.cpu().numpy(), images[ROWS][[key, 19, 0]])


def test_batch_of_which_nothing_was_known_is_read_at_once(images: ImageRows) -> None:
    streamed = StreamedImages(choose_images(images, ROWS), device=CPU)
    one, other, third = (select(key, [key], CPU) for key in (3, 5, 7))
    streamed.batch(one, [other])
    assert np.array_equal(streamed.batch(third).numpy(), images[ROWS][[7]])
    assert np.array_equal(streamed.batch(other).numpy(), images[ROWS][[5]])


def test_batches_are_the_receiver_s_own(images: ImageRows) -> None:
    for placed in both(images, CPU):
        selection = select(0, [4, 5], CPU)
        placed.batch(selection).zero_()
        assert np.array_equal(placed.batch(selection).numpy(), images[ROWS][[4, 5]])


def test_failure_to_read_is_told_where_the_batch_is_needed(images: ImageRows) -> None:
    streamed = StreamedImages(choose_images(images, ROWS), device=CPU)
    wrong = select(1, [99], CPU)
    streamed.batch(select(0, [0], CPU), [wrong])
    with pytest.raises(IndexError):
        streamed.batch(wrong)


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_images_are_held_where_half_of_what_is_free_holds_them(
    images: ImageRows, device: torch.device
) -> None:
    assert isinstance(place_images(images, ROWS, device=device), HeldImages)
    huge = np.broadcast_to(np.zeros(1, dtype=np.uint8), (1 << 20, 1 << 10, 1 << 10, 1))
    placed = place_images(huge, np.arange(len(huge)), device=device)
    assert isinstance(placed, StreamedImages)
    few = free_bytes(device) // (1 << 20)
    assert isinstance(place_images(huge, np.arange(few), device=device), StreamedImages)
    first = placed.batch(select(0, [0, 1], device))
    assert first.shape == (2, 1 << 10, 1 << 10, 1)
