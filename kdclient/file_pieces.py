"""Files a piece at a time: hashed and read without ever being held in memory."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

_PIECE_BYTES = 1024 * 1024


def sha256_of(path: Path) -> str:
    """Hash a file; hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pieces_of(path: Path, *, offset: int, size: int) -> Iterator[bytes]:
    """Read `size` bytes from `offset` on. Raises OSError if the file has fewer."""
    with path.open("rb") as file:
        file.seek(offset)
        while size > 0:
            piece = file.read(min(_PIECE_BYTES, size))
            if not piece:
                raise OSError(f"{path} became shorter while it was read.")
            size -= len(piece)
            yield piece
