"""A small HTTP server that answers as a test has written down, and keeps what it was asked."""

import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str  # without the query
    query: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One answer. `cut_after` bytes of the body, the connection breaks, or `holds` for ever."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    holds: bool = False


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """An answer in JSON: any value, hence Any."""
    body = json.dumps(value).encode()
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, body, {"Content-Type": "application/json", **names})


def problem_reply(status: int, code: str, **headers: str) -> Reply:
    """A problem document without entries."""
    return json_reply({"code": code, "detail": f"It is {code}.", "errors": []}, status, **headers)


def hang_up() -> Reply:
    """No answer at all."""
    return Reply(cut_after=0, status=0)


class ScriptedServer:
    """Answers each method and path with its replies in order; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._replies: defaultdict[tuple[str, str], list[Reply]] = defaultdict(list)
        self._lock = threading.Lock()
        self._is_stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                server.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # inherited
                """Write nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer requests for this path, one reply after the other."""
        self._replies[method, path].extend(replies)

    def asked_for(self, method: str, path: str) -> list[Asked]:
        """The requests for this path so far."""
        return [each for each in self.asked if (each.method, each.path) == (method, path)]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.asked.append(Asked(handler.command, path, query, headers, body))
            replies = self._replies[handler.command, path]
            if not replies:
                reply = problem_reply(404, "route_not_found")
            else:
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
        _send(handler, reply)
        if reply.holds:
            self._is_stopping.wait()


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    if reply.status == 0:
        handler.close_connection = True
        return
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.status != 204:
        handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()
    if reply.cut_after is None:
        handler.wfile.write(reply.body)
    else:
        handler.wfile.write(reply.body[: reply.cut_after])
        handler.wfile.flush()
        handler.close_connection = True
