"""One process that decodes images, as the process that reads the dataset holds it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque

from kdcore.data.decoder_messages import (
    DECODER_MESSAGE,
    DecodeOrder,
    DecoderAnswer,
    Ready,
)
from kdcore.data.rejection import shown
from kdcore.errors import DatasetRejected, DecoderKilled

_READ_BYTES = 65_536
# An image's memory is taken again for the next, and not given back to the system in between:
# measured 6 ms an image of 1024x768 otherwise, as long as it takes to decode.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
}
_KILLED = "The system ended a process that decodes images, perhaps for want of memory. Try again."

Outcome = DecoderAnswer | DatasetRejected | DecoderKilled


class Decoder:
    """A running decoder. It takes orders in turn, and answers each.

    Attributes:
        messages_fd: Readable when it has said something, or died.
        is_ready: It has loaded what it needs, as `receive` has heard.
        is_dead: It has ended, as `receive` has seen.
    """

    def __init__(self, archive_fd: int, pixels_fd: int) -> None:
        """Start it in the group of this process, so that whoever kills one kills both."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "kdcore.data.decoder_process"),
                *("--parent", str(os.getpid())),
                *("--archive-fd", str(archive_fd), "--pixels-fd", str(pixels_fd)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(archive_fd, pixels_fd),
            env={**os.environ, **_MALLOC},
        )
        if process.stdin is None or process.stdout is None:
            raise AssertionError("decoders have pipes as stdin and stdout")
        self._process = process
        self._stdin = process.stdin
        self.messages_fd = process.stdout.fileno()
        self._unread = b""
        self._orders: deque[tuple[int, str]] = deque()
        self.is_ready = False
        self.is_dead = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def num_orders(self) -> int:
        """How many images it has still to answer for."""
        return len(self._orders)

    def order(self, index: int, order: DecodeOrder) -> None:
        """Have image number `index` decoded. One that has died is noticed by `receive`."""
        self._orders.append((index, order.entry.name))
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(order.model_dump_json().encode() + b"\n")
            self._stdin.flush()

    def receive(self) -> list[tuple[int, Outcome]]:
        """Wait for what it says; give answers with their images' numbers, its death as the last.

        Raises:
            DecoderKilled: It died over no image.
        """
        data = os.read(self.messages_fd, _READ_BYTES)
        if not data:
            return self._died()
        *lines, self._unread = (self._unread + data).split(b"\n")
        answers: list[tuple[int, Outcome]] = []
        for line in lines:
            message = DECODER_MESSAGE.validate_json(line)
            if isinstance(message, Ready):
                self.is_ready = True
            else:
                index, _ = self._orders.popleft()
                answers.append((index, message))
        return answers

    def _died(self) -> list[tuple[int, Outcome]]:
        self.is_dead = True
        status = self._process.wait()
        if not self.is_ready or not self._orders:  # no image is to blame
            raise DecoderKilled(_KILLED)
        index, name = self._orders[0]
        return [(index, _death(status, name))]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Wait for its end."""
        # Orders that it never read may still be in the buffer.
        with contextlib.suppress(BrokenPipeError):
            self._process.__exit__(None, None, None)


def _death(status: int, name: str) -> DatasetRejected | DecoderKilled:
    """Tell what a decoder's death over an image means."""
    if status == -signal.SIGKILL:
        return DecoderKilled(_KILLED)
    return DatasetRejected(
        "image_decoder_crashed",
        f"{shown(name)} made its decoder crash, or work far longer than an image may take. Save it "
        "anew, or leave it out.",
        entries=[shown(name)],
    )
