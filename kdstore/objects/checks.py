"""What is asked at every chunk: whether bytes may go on moving."""

import io
from collections.abc import Callable
from pathlib import Path

# What it raises ends the move, which then has not happened.
Check = Callable[[], None]


def go_on() -> None:
    """Let bytes move that nobody stops."""


class CheckedFile(io.FileIO):
    """A file to read that calls `check` before every read.

    obstore tells of whatever a source raises as an OSError: `raised` is what it was.
    """

    def __init__(self, path: Path, check: Check) -> None:
        super().__init__(path)
        self._check = check
        self.raised: Exception | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as a file does; raises whatever `check` raises."""
        try:
            self._check()
        except Exception as error:
            self.raised = error
            raise
        return super().read(-1 if size is None else size) or b""
