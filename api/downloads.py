"""Files out of object storage: HEAD, one range, ETag, digests, and a file name of our own."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.errors import RangeUnsatisfiable
from api.replies import etag_matches
from kdstore.objects import ObjectStore
from kdstore.signed_links import SignedLinks

# Several ranges are answered by the whole file, as RFC 9110 allows: nobody gets to ask for 10,000.
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class StoredFile:
    """A file that may be read; `name` is ours and safe in a header."""

    object_key: str
    name: str
    size_bytes: int
    sha256: str
    media_type: str


def serve(
    request: Request, objects: ObjectStore, file: StoredFile, *, links: SignedLinks | None = None
) -> Response:
    """Answer GET or HEAD for a file: streaming from storage, or by a link into it.

    With `links`, GET is sent on to storage, which answers with the same bytes, ranges too.

    Raises:
        RangeUnsatisfiable: the range lies past the end.
        StorageUnavailable: the file cannot be read now.
    """
    etag = f'"{file.sha256}"'
    digest = f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:"
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        "Repr-Digest": digest,
    }
    if etag_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    if links is not None and request.method == "GET":
        link = {"Location": links.to_read(file.object_key), "Cache-Control": "no-store"}
        return Response(status_code=307, headers=headers | link)
    span = None
    if request.method == "GET":  # a range means nothing to HEAD
        span = _requested_range(request.headers, etag=etag, size_bytes=file.size_bytes)
    if span is None:
        start, end, status = 0, file.size_bytes, 200
        headers["Content-Digest"] = digest
    else:
        (start, end), status = span, 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=file.media_type)
    chunks = objects.iter_bytes(file.object_key, start=start, end=end)
    return StreamingResponse(chunks, status, headers=headers, media_type=file.media_type)


def _requested_range(
    headers: Mapping[str, str], *, etag: str, size_bytes: int
) -> tuple[int, int] | None:
    """Read the Range header: first byte and the one after the last; None for the whole file."""
    matched = _ONE_RANGE.fullmatch(headers.get("range", ""))
    if matched is None or headers.get("if-range", etag) != etag:
        return None
    first, last = matched.groups()
    if not first and not last:
        return None
    if not first:  # the last so many bytes
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start = int(first)
        end = min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < int(first):
            return None
    if start >= size_bytes or start >= end:
        raise RangeUnsatisfiable(size_bytes=size_bytes)
    return start, end
