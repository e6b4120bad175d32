"""A sha256 that a thread computes while the caller writes the same bytes."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import numpy.typing as npt


class RunningDigest:
    """The sha256 of all bytes so far. Its thread lives until `close`."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest")

    def begin(self, rows: npt.NDArray[np.generic]) -> Callable[[], None]:
        """Begin to add contiguous rows; call what is returned before they change, or more come."""
        return self._thread.submit(self._digest.update, rows.data).result

    def fork(self) -> Self:
        """Make another that goes on from here on its own."""
        other = type(self)()
        other._digest = self._digest.copy()  # noqa: SLF001 - one of its own kind
        return other

    def hexdigest(self) -> str:
        """Give it as text."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
