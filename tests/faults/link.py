"""A wire between a process and a server that tests can hold, slow down and cut."""

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field

_CHUNK_BYTES = 65_536
_KEPT_BYTES = 256  # of what went before, for a pattern that two chunks share
# A statement that psycopg has sent often gets a name; later only the name is sent.
_NAMING = re.compile(rb"(_pg3_\d+)\x00([^\x00]{1,200})")


@dataclass
class Trap:
    """Springs once, when what a client sends matches; that connection is held until `release`.

    With `then_lost` the connection goes on until the next COMMIT: the server gets it, the client
    never hears of it, and the connection is closed.
    """

    pattern: re.Pattern[bytes]
    then_lost: bool = False
    sprung: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the connection go on; a trap that has not sprung never will."""
        self.released.set()


class Link:
    """A TCP proxy on a free port of this machine, to one port of it. A context manager."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._replies_flow = threading.Event()
        self._replies_flow.set()
        self._trap: Trap | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    def trap(self, pattern: bytes, *, then_lost: bool = False) -> Trap:
        """Set the one trap of this link."""
        self._trap = Trap(re.compile(pattern), then_lost)
        return self._trap

    def stall(self) -> None:
        """Pass nothing any more; connections stay, and new ones are accepted."""
        self._flows.clear()

    def stall_replies(self) -> None:
        """Pass what clients send, and no answer."""
        self._replies_flow.clear()

    def flow(self) -> None:
        """Undo `stall` and `stall_replies`."""
        self._flows.set()
        self._replies_flow.set()

    def close(self) -> None:
        """Cut every connection and take no other."""
        if self._trap is not None:
            self._trap.release()
        self.flow()
        _shut(self._listener)
        with self._lock:
            for each in self._open:
                _shut(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError), self._listener:
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            self._flows.wait()
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            with server:
                with self._lock:
                    self._open |= {client, server}
                wire = _Wire(self, client, server)
                replies = threading.Thread(target=wire.pass_replies, daemon=True)
                replies.start()
                wire.pass_requests()
                replies.join()
                with self._lock:
                    self._open -= {client, server}

    @property
    def current_trap(self) -> Trap | None:
        """The trap that may spring yet."""
        return self._trap

    def wait_for_flow(self, *, is_reply: bool) -> None:
        """Wait while the link is stalled."""
        self._flows.wait()
        if is_reply:
            self._replies_flow.wait()


class _Wire:
    """One connection through a link: requests in one thread, replies in another."""

    def __init__(self, link: Link, client: socket.socket, server: socket.socket) -> None:
        self._link = link
        self._client = client
        self._server = server
        self._seen = b""
        self._is_lost = threading.Event()
        self._loses_commit: Trap | None = None
        self._statements: dict[bytes, bytes] = {}

    def pass_requests(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(_CHUNK_BYTES):
                self._look(data)
                self._link.wait_for_flow(is_reply=False)
                self._server.sendall(data)
        _shut(self._server)
        _shut(self._client)

    def pass_replies(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(_CHUNK_BYTES):
                self._link.wait_for_flow(is_reply=True)
                if self._is_lost.is_set():
                    if self._loses_commit is not None:
                        self._loses_commit.sprung.set()
                    break
                self._client.sendall(data)
        _shut(self._client)
        _shut(self._server)

    def _look(self, data: bytes) -> None:
        seen, text = len(self._seen), self._seen + data
        self._seen = text[-_KEPT_BYTES:]
        self._statements.update(_NAMING.findall(text))
        trap = self._link.current_trap
        if trap is None or trap.released.is_set():
            return
        if trap.then_lost:
            self._watch_commit(trap, text, data, seen=seen)
        elif not trap.sprung.is_set() and self._has(trap.pattern, text, seen=seen):
            trap.sprung.set()
            trap.released.wait()

    def _has(self, pattern: re.Pattern[bytes], text: bytes, *, seen: int) -> bool:
        """Tell whether a pattern ends behind what was seen, or the name of a statement with it."""
        patterns = [pattern] + [
            re.compile(rb"\x00" + name + rb"\x00")
            for name, statement in self._statements.items()
            if pattern.search(statement)
        ]
        return any(match.end() > seen for each in patterns for match in each.finditer(text))

    def _watch_commit(self, trap: Trap, text: bytes, data: bytes, *, seen: int) -> None:
        if self._loses_commit is not None and b"COMMIT" in data:
            self._is_lost.set()
        elif self._has(trap.pattern, text, seen=seen):
            self._loses_commit = trap


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
