"""Locks between the workers of a machine: files that the kernel unlocks when their holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdstore.objects import Check, go_on

_POLL_SECONDS = 0.1


@contextmanager
def file_lock(
    path: Path, *, grows: Path | None = None, patience_seconds: float, check: Check = go_on
) -> Iterator[bool]:
    """Hold the lock at `path`, or go on without it if its holder does nothing for too long.

    A holder that died has no lock any more. One that was frozen keeps it, but what it writes grows
    no further: then this one goes on, and gives False to its block.

    Args:
        path: The lock; the file is there only while it is held.
        grows: What the holder writes, with anything behind its name; others watch it.
        patience_seconds: How long nothing may change.
        check: Called again and again while it waits; what it raises ends that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path, patience_seconds=patience_seconds, check=check)
    if descriptor is None:
        yield False
        return
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, os.fsencode(grows or path))
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, *, patience_seconds: float, check: Check) -> int | None:
    seen: object = None
    changed_at = time.monotonic()
    while True:
        descriptor = _try_to_lock(path)
        if descriptor is not None:
            return descriptor
        # Not by the clock of the files, which may be moved, but by what is seen to change.
        found = _state(path)
        if found != seen:
            seen, changed_at = found, time.monotonic()
        if time.monotonic() - changed_at > patience_seconds:
            return None
        check()
        time.sleep(_POLL_SECONDS)


def _try_to_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it meanwhile, and another made a new one.
        is_there = path.stat().st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        is_there = False
    if is_there:
        return descriptor
    os.close(descriptor)
    return None


def _state(path: Path) -> object:
    """Tell who holds a lock, and how far what it writes has grown."""
    try:
        written = Path(os.fsdecode(path.read_bytes()))
        return path.stat().st_ino, sorted(
            (each.name, each.stat().st_size)
            for each in written.parent.iterdir()
            if each.name.startswith(written.name)
        )
    except OSError:  # it was there a moment ago, or is another container's and cannot be seen
        return None
