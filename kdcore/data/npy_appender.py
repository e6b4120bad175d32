"""Writes an .npy file whose number of rows is known only at the end."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from kdcore.data.running_digest import RunningDigest


class NpyAppender:
    """An .npy file that grows by rows; its header is set right when it closes."""

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...]) -> None:
        self._file: BinaryIO = path.open("wb")
        self._dtype = dtype
        self._row_shape = row_shape
        self._digest = RunningDigest()
        self.num_rows = 0
        self._write_header()

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Write rows at the end."""
        # No copy where the rows are contiguous already.
        block = np.ascontiguousarray(rows, dtype=self._dtype)
        finish_digest = self._digest.begin(block)
        self._file.write(block.data)
        finish_digest()
        self.num_rows += len(rows)

    def fork_digest(self) -> RunningDigest:
        """Copy the sha256 of the rows so far, to go on with on one's own."""
        return self._digest.fork()

    def finish(self) -> str:
        """Write the final header; return the sha256 of the rows."""
        size = self._file.tell()
        self._file.seek(0)
        self._write_header()
        if self._file.tell() + self.num_rows * self._row_bytes != size:
            raise AssertionError("numpy's header grew with the number of rows")
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()
        self._digest.close()

    @property
    def _row_bytes(self) -> int:
        return int(np.dtype(self._dtype).itemsize * np.prod(self._row_shape, dtype=np.int64))

    def _write_header(self) -> None:
        # numpy leaves room in the header for the first dimension to grow in place.
        header = {
            "descr": self._dtype,
            "fortran_order": False,
            "shape": (self.num_rows, *self._row_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
