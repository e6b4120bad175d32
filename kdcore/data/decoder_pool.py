"""Several processes decode the images of one zip; they come back in their order.

Neither `multiprocessing` nor `concurrent.futures`: those tell that a process died but not over
which image, carry pixels through pipes, and import the main module, hence torch, again.

H height, W width, C channels.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from kdcore.data.decoder_messages import (
    ANSWER,
    Decoded,
    DecodeOrder,
    Refused,
    TooMuchMemory,
    Undecodable,
)
from kdcore.data.image_rows import Pixels
from kdcore.data.images import DecodedImage
from kdcore.data.rejection import shown
from kdcore.data.streams import ArchiveEntry
from kdcore.errors import DatasetRejected, DecoderKilled

# Images that a decoder may be ahead: it works on one while another waits to be taken.
_AHEAD = 2
_MAX_CHANNELS = 3


class DecoderPool:
    """Decoders that share a piece of memory with this process; a context manager that ends them.

    At most two images for each decoder are under way at any time.
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
        self._num_slots = num_decoders * _AHEAD
        total_bytes = self._num_slots * self._slot_bytes
        with tempfile.TemporaryFile(dir=folder) as file, contextlib.ExitStack() as on_error:
            # A full disk shows here, and not as a signal when a decoder writes.
            file.truncate(total_bytes)
            if sys.platform == "linux":
                os.posix_fallocate(file.fileno(), 0, total_bytes)
            self._pixels = np.memmap(file, np.uint8, "r", shape=(total_bytes,))
            self._decoders: list[subprocess.Popen[bytes]] = []
            on_error.callback(self._end)
            for _ in range(num_decoders):
                self._decoders.append(_start(archive_fd, file.fileno()))
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

    def decode(self, entries: Sequence[ArchiveEntry]) -> Iterator[DecodedImage]:
        """Decode images one after another. The pixels of each are good until the next is taken.

        Raises:
            DatasetRejected: as `decode_image` does; `image_decoder_crashed`.
            DecoderKilled: the system ended a decoder.
            MemoryError: an image takes more than a decoder has.
        """
        for index in range(min(self._num_slots, len(entries))):
            self._order(index, entries[index])
        for index, entry in enumerate(entries):
            yield self._receive(index, entry)
            following = index + self._num_slots
            if following < len(entries):
                self._order(following, entries[following])

    def _order(self, index: int, entry: ArchiveEntry) -> None:
        offset = index % self._num_slots * self._slot_bytes
        order = DecodeOrder(entry=entry, offset=offset, size_bytes=self._slot_bytes)
        stdin = self._decoders[index % len(self._decoders)].stdin
        if stdin is None:
            raise AssertionError("decoders have a pipe as stdin")
        # One that has died is noticed where its answer is missing.
        with contextlib.suppress(BrokenPipeError):
            stdin.write(order.model_dump_json().encode() + b"\n")
            stdin.flush()

    def _receive(self, index: int, entry: ArchiveEntry) -> DecodedImage:
        decoder = self._decoders[index % len(self._decoders)]
        if decoder.stdout is None:
            raise AssertionError("decoders have a pipe as stdout")
        line = decoder.stdout.readline()
        if not line.endswith(b"\n"):
            raise _death(decoder.wait(), entry.name)
        match ANSWER.validate_json(line):
            case Decoded(shape_HWC=shape_HWC):
                return DecodedImage(shape_HWC[:2], self._pixels_of(index, shape_HWC))
            case Undecodable():
                return DecodedImage(None, None)
            case Refused(code=code, message=message, entries=entries):
                raise DatasetRejected(code, message, entries=entries)
            case TooMuchMemory():
                raise MemoryError

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
            # Orders that it never read may still be in the buffer.
            with contextlib.suppress(BrokenPipeError):
                decoder.__exit__(None, None, None)


def _start(archive_fd: int, pixels_fd: int) -> subprocess.Popen[bytes]:
    """Start a decoder in the group of this process, so that whoever kills one kills all."""
    return subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "kdcore.data.decoder_process"),
            *("--parent", str(os.getpid())),
            *("--archive-fd", str(archive_fd), "--pixels-fd", str(pixels_fd)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(archive_fd, pixels_fd),
    )


def _death(status: int, name: str) -> DatasetRejected | DecoderKilled:
    """Tell what a decoder's death over an image means."""
    if status == -signal.SIGKILL:
        return DecoderKilled(
            "The system ended a process that decoded images, perhaps for want of memory. Try again."
        )
    return DatasetRejected(
        "image_decoder_crashed",
        f"{shown(name)} made its decoder crash, or work far longer than an image may take. Save it "
        "anew, or leave it out.",
        entries=[shown(name)],
    )
