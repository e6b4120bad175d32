"""Several processes decode the images of one zip; they come back in their order.

Neither `multiprocessing` nor `concurrent.futures`: those tell that a process died but not over
which image, carry pixels through pipes, and import the main module, hence torch, again.

H height, W width, C channels.
"""

import contextlib
import os
import select
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from kdcore.data.decoder import Decoder, Outcome
from kdcore.data.decoder_messages import (
    Decoded,
    DecodeOrder,
    Refused,
    TooMuchMemory,
    Undecodable,
)
from kdcore.data.image_rows import Pixels
from kdcore.data.images import DecodedImage
from kdcore.data.streams import ArchiveEntry
from kdcore.errors import DatasetRejected, DecoderKilled

# Images that a decoder has orders for: it works on one while another waits for it.
_ORDERS = 2
# Images that others may be ahead of a slow decoder, for each decoder, within so many bytes.
_SLOTS = 8
_SLOTS_BYTES = 256 * 2**20
_MAX_CHANNELS = 3


class DecoderPool:
    """Decoders that share a piece of memory with this process; a context manager that ends them.

    At most eight images for each decoder are under way or wait to be taken, or 256 MiB of them.
    """

    def __init__(
        self, archive_fd: int, *, size_HW: tuple[int, int], num_decoders: int, folder: Path
    ) -> None:
        """Start the decoders.

        Args:
            archive_fd: The zip.
            size_HW: Of the images that are wanted; of others only the size is told.
            num_decoders: How many processes.
            folder: Where the shared pixels have their place on disk, which is not seen there.
        """
        self._size_HW = size_HW
        self._slot_bytes = size_HW[0] * size_HW[1] * _MAX_CHANNELS
        affordable = max(_ORDERS * num_decoders, _SLOTS_BYTES // self._slot_bytes)
        self._num_slots = min(_SLOTS * num_decoders, affordable)
        total_bytes = self._num_slots * self._slot_bytes
        self._answers: dict[int, Outcome] = {}
        with tempfile.TemporaryFile(dir=folder) as file, contextlib.ExitStack() as on_error:
            # A full disk shows here, and not as a signal when a decoder writes.
            file.truncate(total_bytes)
            if sys.platform == "linux":
                os.posix_fallocate(file.fileno(), 0, total_bytes)
            self._pixels = np.memmap(file, np.uint8, "r", shape=(total_bytes,))
            self._decoders: list[Decoder] = []
            on_error.callback(self._end)
            for _ in range(num_decoders):
                self._decoders.append(Decoder(archive_fd, file.fileno()))
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def is_ready(self) -> bool:
        """Tell whether all decoders have loaded what they need, without waiting for them.

        Raises:
            DecoderKilled: One has died already.
        """
        self._receive(max_seconds=0.0)
        return all(decoder.is_ready for decoder in self._decoders)

    def decode(self, entries: Sequence[ArchiveEntry]) -> Iterator[DecodedImage]:
        """Decode images one after another. The pixels of each are good until the next is taken.

        Raises:
            DatasetRejected: as `decode_image` does; `image_decoder_crashed`.
            DecoderKilled: the system ended a decoder.
            MemoryError: an image takes more than a decoder has.
        """
        num_ordered = 0
        for index in range(len(entries)):
            while True:
                # Places are given away again when their images have been taken.
                end = min(len(entries), index + self._num_slots)
                num_ordered = self._hand_out(entries, num_ordered, end)
                if index in self._answers:
                    break
                self._receive(max_seconds=None)
            yield self._image(index, self._answers.pop(index))

    def _hand_out(self, entries: Sequence[ArchiveEntry], start: int, end: int) -> int:
        """Order images from `start` on from decoders that have little to do; tell how far."""
        for index in range(start, end):
            free = [
                each for each in self._decoders if not each.is_dead and each.num_orders < _ORDERS
            ]
            if not free:
                return index
            place = index % self._num_slots * self._slot_bytes
            order = DecodeOrder(entry=entries[index], offset=place, size_bytes=self._slot_bytes)
            min(free, key=lambda each: each.num_orders).order(index, order)
        return end

    def _receive(self, *, max_seconds: float | None) -> None:
        """Wait until a decoder has said something, and keep the answers."""
        alive = {each.messages_fd: each for each in self._decoders if not each.is_dead}
        if not alive:
            raise AssertionError("what the last decoder died over was to be taken before")
        saying = select.poll()
        for descriptor in alive:
            saying.register(descriptor, select.POLLIN)
        for descriptor, _ in saying.poll(None if max_seconds is None else max_seconds * 1000):
            self._answers.update(alive[descriptor].receive())

    def _image(self, index: int, outcome: Outcome) -> DecodedImage:
        match outcome:
            case Decoded(shape_HWC=shape_HWC):
                return DecodedImage(shape_HWC[:2], self._pixels_of(index, shape_HWC))
            case Undecodable():
                return DecodedImage(None, None)
            case Refused(code=code, message=message, entries=entries):
                raise DatasetRejected(code, message, entries=entries)
            case TooMuchMemory():
                raise MemoryError
            case DatasetRejected() | DecoderKilled():
                raise outcome

    def _pixels_of(self, index: int, shape_HWC: tuple[int, int, int]) -> Pixels | None:
        if shape_HWC[:2] != self._size_HW:
            return None
        start = index % self._num_slots * self._slot_bytes
        pixels = self._pixels[start : start + int(np.prod(shape_HWC))]
        return pixels.view(np.ndarray).reshape(shape_HWC)

    def _end(self) -> None:
        for decoder in self._decoders:
            decoder.kill()
        for decoder in self._decoders:
            decoder.close()
