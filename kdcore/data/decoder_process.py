"""A process that decodes images of a stranger's zip: `python -m kdcore.data.decoder_process`.

It inherits the limits of the process that reads the dataset, and takes less memory than that one.
It ends with it: when its orders end, and whatever it does, when the kernel sees its parent die.
"""

import argparse
import ctypes
import mmap
import os
import resource
import signal
import sys
from typing import BinaryIO

import numpy as np

from kdcore.data.decoder_messages import (
    Decoded,
    DecodeOrder,
    DecoderAnswer,
    Ready,
    Refused,
    TooMuchMemory,
    Undecodable,
)
from kdcore.data.images import ImageUndecodable, decode_entry
from kdcore.data.streams import EntryStream
from kdcore.errors import DatasetRejected
from kdcore.process_memory import limit_data

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# An image of 25 megapixels with its file, and what decoding it takes besides, several times over.
_MEMORY_BYTES = 2**30


def main() -> None:
    """Say that it is ready, decode what is ordered on stdin until it ends, and answer on stdout."""
    parser = argparse.ArgumentParser(prog="python -m kdcore.data.decoder_process")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--archive-fd", type=int, required=True)
    parser.add_argument("--pixels-fd", type=int, required=True)
    arguments = parser.parse_args()
    _end_with(arguments.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pixels = mmap.mmap(arguments.pixels_fd, 0)
    limit_data(_MEMORY_BYTES)
    # What a library may print goes where errors go, and not among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _say(answers, Ready())
    for line in sys.stdin.buffer:
        order = DecodeOrder.model_validate_json(line)
        _say(answers, _carry_out(order, arguments.archive_fd, pixels))


def _say(answers: BinaryIO, message: Ready | DecoderAnswer) -> None:
    answers.write(message.model_dump_json().encode() + b"\n")
    answers.flush()


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that reads the dataset has gone")


def _carry_out(order: DecodeOrder, archive_fd: int, pixels: mmap.mmap) -> DecoderAnswer:
    try:
        pixels_HWC = decode_entry(EntryStream(archive_fd, order.entry), order.entry)
    except ImageUndecodable:
        return Undecodable()
    except DatasetRejected as refusal:
        return Refused(code=refusal.code, message=refusal.message, entries=refusal.entries)
    except MemoryError:
        return TooMuchMemory()
    if pixels_HWC.nbytes <= order.size_bytes:
        place = np.frombuffer(pixels, np.uint8, pixels_HWC.size, order.offset)
        place.reshape(pixels_HWC.shape)[:] = pixels_HWC
    height, width, channels = pixels_HWC.shape
    return Decoded(shape_HWC=(height, width, channels))


if __name__ == "__main__":
    main()
