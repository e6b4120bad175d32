"""Digests of files, without torch: the worker itself must not load it."""

import hashlib
from pathlib import Path

from kdstore.objects import Check, go_on

_CHUNK_BYTES = 1024 * 1024


def sha256_of(path: Path, *, check: Check = go_on) -> str:
    """Return the sha256 of a file in hex, without holding it in memory.

    Raises:
        Exception: whatever `check` raises, which is called at every chunk.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            check()
            digest.update(chunk)
    return digest.hexdigest()
