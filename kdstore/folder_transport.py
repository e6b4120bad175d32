"""The broker that needs no server, made safe: a message appears whole and is taken by one.

kombu's own folder transport opens a message's file under its final name and then writes it, so a
reader that is fast finds it empty and dies of it; the file of bindings has the same gap. It also
moves messages through the machine's temporary folder, which may lie on another file system.
"""

import fcntl
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem

_LOCK_NAME = ".lock"


class Channel(filesystem.Channel):
    """Messages and bindings as files that are only ever renamed into place.

    What kombu hands over has no types, hence Any.
    """

    def _put(self, queue: Any, payload: Any, **_: Any) -> None:  # type: ignore[override]  # kombu's two base classes disagree
        # Nanoseconds of the wall clock, padded: names sort by age, across processes and reboots.
        name = f"{time.time_ns():020}_{uuid.uuid4().hex}.{queue}.msg"
        try:
            _write_whole(Path(self.data_folder_out) / name, payload)
        except OSError as error:
            raise ChannelError(f"A message for {queue} could not be written.") from error

    def _get(self, queue: Any, timeout: Any = None) -> Any:  # noqa: ARG002  # never waits
        folder = Path(self.data_folder_in)
        for path in sorted(folder.glob(f"*.{queue}.msg")):
            taken = folder / f".{path.name}.{uuid.uuid4().hex}"
            try:
                path.rename(taken)
            except FileNotFoundError:  # another worker was faster
                continue
            text = taken.read_text()
            taken.unlink()
            return json.loads(text)
        raise Empty

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        binding = filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self.control_folder.mkdir(parents=True, exist_ok=True)
        with self._bindings_locked():
            bindings = self.get_table(exchange)  # type: ignore[no-untyped-call]  # kombu's
            if binding not in bindings:
                file: Path = self._exchange_file(exchange)  # type: ignore[no-untyped-call]  # too
                _write_whole(file, [binding, *bindings])

    @contextmanager
    def _bindings_locked(self) -> Iterator[None]:
        with (self.control_folder / _LOCK_NAME).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Transport(filesystem.Transport):
    """kombu's folder transport with our channel."""

    Channel = Channel


def _write_whole(path: Path, document: Any) -> None:
    """Write JSON so that `path` holds all of it or is not there."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        partial.write_text(json.dumps(document))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
