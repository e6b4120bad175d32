"""A file opened once and read at given places, so it cannot be swapped between check and use."""

import os
import stat
import weakref
from pathlib import Path
from typing import Self

import torch

from kdcore.checkpoints.codes import Code, refusal

# Linux moves at most 2 GiB in one call.
_MAX_CALL_BYTES = 1 << 30


class OpenFile:
    """One regular file, open for reading until `close` or until nothing refers to it."""

    def __init__(self, path: Path, *, follow_symlinks: bool = True) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags if follow_symlinks else flags | os.O_NOFOLLOW)
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise refusal(Code.FOLDER, "This is not a file. Upload one weights file.")
        self.size = status.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._close()

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`; the caller has bounded `size`."""
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise _changed()
        return data

    def read_up_to(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`, fewer at the end of the file."""
        return os.pread(self._descriptor, size, offset)

    def read_bytes_tensor(self, offset: int, size: int) -> torch.Tensor:
        """Return `size` bytes from `offset` as a fresh uint8 tensor, without a second copy."""
        buffer_N = torch.empty(size, dtype=torch.uint8)
        view = buffer_N.numpy().data
        done = 0
        while done < size:
            count = os.preadv(
                self._descriptor, [view[done : done + _MAX_CALL_BYTES]], offset + done
            )
            if count == 0:
                raise _changed()
            done += count
        return buffer_N


def _changed() -> Exception:
    return refusal(Code.CHANGED, "The file changed while it was read. Upload it again.")
