"""Answers to reads: ETag and If-None-Match over the bytes that are sent."""

import hashlib

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response


def reply(request: Request, answer: BaseModel) -> Response:
    """Answer a read, or 304 if the client has exactly this already."""
    return reply_bytes(request, answer.model_dump_json().encode())


def reply_bytes(request: Request, body: bytes, *, media_type: str = "application/json") -> Response:
    """Do as `reply`, with a body that is JSON already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def etag_matches(header: str | None, etag: str) -> bool:
    """Tell whether If-None-Match names this ETag (RFC 9110, weak comparison)."""
    if header is None:
        return False
    named = {part.strip().removeprefix("W/") for part in header.split(",")}
    return "*" in named or etag in named
