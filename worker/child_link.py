"""A child's end of the protocol: one order in on stdin, messages out on a pipe of their own."""

import ctypes
import os
import resource
import signal
import threading
from queue import SimpleQueue

from pydantic import BaseModel

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_READ_BYTES = 65_536
# Nobody waits for this status: it says that the parent has gone.
_ORPHANED_STATUS = 70


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies, or end now if `parent` has died."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(_ORPHANED_STATUS)


class Leash:
    """Takes one order on stdin. When the parent goes, however it goes, this process ends at once.

    Two ways, since neither is sure alone: the kernel's signal at the parent's death comes also
    while Python is busy in native code, and the end of stdin comes also if the parent died
    before the signal was asked for.
    """

    def __init__(self) -> None:
        self._orders: SimpleQueue[bytes] = SimpleQueue()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        end_with_parent()
        threading.Thread(target=self._watch_stdin, name="parent-watch", daemon=True).start()

    def receive_order(self) -> bytes:
        """Wait for the order: one line of JSON."""
        return self._orders.get()

    def _watch_stdin(self) -> None:
        line = b""
        is_ordered = False
        while chunk := os.read(0, _READ_BYTES):
            if is_ordered:
                continue
            line += chunk
            if b"\n" in chunk:
                is_ordered = True
                self._orders.put(line)
        os._exit(_ORPHANED_STATUS)


class ParentLink(Leash):
    """A line to the worker, in both directions."""

    def __init__(self, events_fd: int) -> None:
        self._fd = events_fd
        self._lock = threading.Lock()
        # What this process starts must not keep the worker waiting for its last word.
        os.set_inheritable(events_fd, False)  # so named by os
        super().__init__()

    def send(self, message: BaseModel) -> None:
        """Send one message. Blocks only while the worker does not read at all."""
        data = message.model_dump_json().encode() + b"\n"
        with self._lock:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BrokenPipeError:
                    os._exit(_ORPHANED_STATUS)
