"""Images on the device, batch by batch: all held there, or each batch read as it is needed.

Both give the same bytes. B batch, M images that batches are made of, H height, W width,
C channels.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from kdcore.data.free_memory import free_bytes
from kdcore.data.image_rows import Images, choose_images, read_images

# The rest is for the networks, their activations and whatever else the machine does.
HELD_SHARE = 0.5

# Batches read ahead, each by a thread of its own: pages of a map come from disk one at a time.
_NUM_AHEAD = 2
_FILL_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Selection:
    """Which images one batch takes.

    Attributes:
        key: Names the batch among those that are asked for about the same time.
        rows_B: Positions from 0 up to M, in the memory of the host.
        rows_on_device_B: The same on the device.
    """

    key: Hashable
    rows_B: npt.NDArray[np.int64]
    rows_on_device_B: torch.Tensor


class DeviceImages(Protocol):
    """M images of which batches are made on a device.

    Attributes:
        num_ahead: How many batches it wants to know of beyond the one that is asked for.
        whereabouts: Where the images are, for the log.
    """

    num_ahead: int
    whereabouts: str

    def batch(self, wanted: Selection, following: Sequence[Selection] = ()) -> torch.Tensor:
        """Give a batch, uint8 of shape BHWC on the device, never one that it keeps.

        `following` are the batches that will most likely be asked for next.
        """


def place_images(
    images: Images,
    rows_M: npt.NDArray[np.int64],
    *,
    device: torch.device,
    num_processes: int = 1,
) -> DeviceImages:
    """Hold these images on the device if they take at most half of what is free there.

    Args:
        images: Of which `rows_M` are taken.
        rows_M: Positions.
        device: Where batches go.
        num_processes: How many processes of this job share the memory.
    """
    num_bytes = len(rows_M) * int(np.prod(images.shape[1:]))
    if num_bytes <= HELD_SHARE * free_bytes(device, num_processes=num_processes):
        return HeldImages(images, rows_M, device=device)
    return StreamedImages(choose_images(images, rows_M), device=device)


class HeldImages:
    """Images that lie on the device as one uint8 array."""

    def __init__(
        self, images: Images, rows_M: npt.NDArray[np.int64], *, device: torch.device
    ) -> None:
        """Copy them there, a part at a time."""
        self.num_ahead = 0
        self.whereabouts = "images held in memory"
        shape = (len(rows_M), *images.shape[1:])
        self._images_MHWC = torch.empty(shape, dtype=torch.uint8, device=device)
        size = max(1, _FILL_BYTES // int(np.prod(shape[1:])))
        for start in range(0, len(rows_M), size):
            part_B = rows_M[start : start + size]
            place_BHWC = self._images_MHWC[start : start + size]
            if device.type == "cpu":
                read_images(images, part_B, place_BHWC.numpy())
            else:
                place_BHWC.copy_(_read(images, part_B, is_pinned=False))

    def batch(self, wanted: Selection, following: Sequence[Selection] = ()) -> torch.Tensor:
        """Pick the rows; no device synchronisation happens."""
        del following
        return self._images_MHWC.index_select(0, wanted.rows_on_device_B)


class StreamedImages:
    """Images that stay where they are, most likely in mapped files, and are read ahead by threads.

    For a GPU they come by way of pinned memory, so that nothing waits for their copy.
    """

    def __init__(self, images: Images, *, device: torch.device) -> None:
        self.num_ahead = _NUM_AHEAD
        self.whereabouts = "images read as needed"
        self._images = images
        self._device = device
        self._threads = ThreadPoolExecutor(_NUM_AHEAD, thread_name_prefix="images-ahead")
        self._coming: dict[Hashable, Future[torch.Tensor]] = {}

    def batch(self, wanted: Selection, following: Sequence[Selection] = ()) -> torch.Tensor:
        """Wait until the batch is read, and have what follows read meanwhile."""
        selections = {each.key: each for each in (wanted, *following)}
        for key in self._coming.keys() - selections.keys():
            self._coming.pop(key).cancel()
        for key, selection in selections.items():
            if key not in self._coming:
                self._coming[key] = self._threads.submit(self._reader(selection))
        images_BHWC = self._coming.pop(wanted.key).result()
        return images_BHWC.to(self._device, non_blocking=True)

    def _reader(self, selection: Selection) -> Callable[[], torch.Tensor]:
        # Without `self`, so that the threads end with the last reference to it.
        images, rows_B, is_pinned = self._images, selection.rows_B, self._device.type == "cuda"
        return lambda: _read(images, rows_B, is_pinned=is_pinned)


def _read(images: Images, rows_B: npt.NDArray[np.int64], *, is_pinned: bool) -> torch.Tensor:
    shape = (len(rows_B), *images.shape[1:])
    images_BHWC = torch.empty(shape, dtype=torch.uint8, pin_memory=is_pinned)
    read_images(images, rows_B, images_BHWC.numpy())
    return images_BHWC
