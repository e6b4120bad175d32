"""JSON bodies are bounded in size, depth and time before anything parses them."""

import re

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, BodyNotJson, BodyTooDeep, BodyTooLarge, BodyTooSlow, NulCharacter
from api.problems import response_to

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_SECONDS = 30.0

# Strings are matched whole, so that brackets inside them do not count; one that never ends runs
# to the end of the body, so that no input makes this more than linear.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")


class JsonBodies:
    """Reads the whole body of every request but PUT, which carries a file's part as a stream."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if b"%00" in scope["query_string"] or "\0" in scope["path"]:
                raise NulCharacter
            if scope["method"] != "PUT":
                receive = await _bounded(scope, receive)
        except ApiError as error:
            response = response_to(error, request_id=scope["state"]["request_id"])
            await response(scope, receive, send)
            return
        except ClientDisconnect:
            return  # nobody is left to answer
        await self._app(scope, receive, send)


async def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Read the body, check it, and give a `receive` that hands it out again."""
    headers = Headers(scope=scope)
    if not {"content-length", "transfer-encoding"} & set(headers):
        return receive
    body = await _read(receive)
    if body:
        _check(body, media_type=headers.get("content-type", ""))
    handed_out = False

    async def receive_again() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _read(receive: Receive) -> bytes:
    """Read at most MAX_BYTES: what arrives is counted, since Content-Length may lie."""
    body = bytearray()
    try:
        with anyio.fail_after(MAX_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                if len(body) > MAX_BYTES:
                    raise BodyTooLarge(max_bytes=MAX_BYTES)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise BodyTooSlow(max_seconds=MAX_SECONDS) from None


def _check(body: bytes, *, media_type: str) -> None:
    kind = media_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise BodyNotJson
    depth = 0
    for token in _TOKENS.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BodyTooDeep(max_depth=MAX_DEPTH)
        elif token[0] in b"]}":
            depth -= 1
    if _NUL.search(body):
        raise NulCharacter
