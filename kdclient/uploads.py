"""Files into the service: in parts, several at once, going on where an earlier try stopped."""

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from kdclient.errors import ApiProblem, ConnectionFailed, UnexpectedAnswer
from kdclient.file_pieces import pieces_of, sha256_of
from kdclient.resources import Upload, UploadPart, UploadPurpose
from kdclient.transport import Call, Transport

OnBytes = Callable[[int], None]

_PARTS_AT_ONCE = 4
_ROUNDS = 3


@dataclass(frozen=True)
class _Source:
    path: Path
    size_bytes: int
    sha256: str


def upload_file(
    transport: Transport, path: Path, *, purpose: UploadPurpose, on_bytes: OnBytes
) -> Upload:
    """Upload a file and return when the service has checked and stored it.

    The same file uploaded again within a day goes on with the upload that was begun, whichever
    process began it: the idempotency key of its creation follows from its content. `on_bytes` is
    told how many more bytes have arrived: a negative number where some must be sent again.

    Raises:
        OSError: the file cannot be read.
        ApiProblem, ConnectionFailed, UnexpectedAnswer: as `Transport.send`.
    """
    source = _Source(path, path.stat().st_size, sha256_of(path))
    upload = _begin(transport, source, purpose=purpose)
    if upload.status == "stored":
        on_bytes(source.size_bytes)
        return upload
    missing = _missing(source, upload)
    on_bytes(source.size_bytes - sum(_bytes_of(upload, part) for part in missing))
    return _send_until_complete(transport, source, upload, missing, on_bytes=on_bytes)


def _send_until_complete(
    transport: Transport,
    source: _Source,
    upload: Upload,
    parts: Sequence[UploadPart],
    *,
    on_bytes: OnBytes,
) -> Upload:
    """Send parts, and again those that turn out to be missing or damaged, a few times at most."""
    links_fail = threading.Event()
    for _ in range(_ROUNDS - 1):
        _send(transport, source, upload, parts, links_fail=links_fail, on_bytes=on_bytes)
        try:
            return _complete(transport, upload)
        except ApiProblem as problem:
            if problem.code not in ("upload_incomplete", "digest_mismatch"):
                raise
            is_damaged = problem.code == "digest_mismatch"
            if is_damaged and sha256_of(source.path) != source.sha256:
                raise  # the file is no longer the one that was announced
        upload = _read(transport, upload.id)
        if is_damaged:
            links_fail.set()  # the service hashes what comes through it
            parts = _unproven(source, upload) or upload.parts
        else:
            parts = _missing(source, upload)
        on_bytes(-sum(_bytes_of(upload, part) for part in parts))
    _send(transport, source, upload, parts, links_fail=links_fail, on_bytes=on_bytes)
    return _complete(transport, upload)


def _begin(transport: Transport, source: _Source, *, purpose: UploadPurpose) -> Upload:
    body = {
        "purpose": purpose,
        "filename": source.path.name,
        "size_bytes": source.size_bytes,
        "sha256": source.sha256,
    }
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"potstill-upload:{sorted(body.items())}")
    for key in (str(name), str(uuid.uuid4())):
        call = Call("POST", "v1/uploads", json=body, headers={"Idempotency-Key": key})
        created = transport.read(call, Upload)
        try:
            upload = _read(transport, created.id)
        except ApiProblem as problem:
            if problem.status != 404:
                raise
            continue  # the earlier one was swept: begin anew
        if upload.status in ("pending", "stored"):
            return upload
    return upload


def _read(transport: Transport, upload_id: str) -> Upload:
    return transport.read(Call("GET", f"v1/uploads/{upload_id}"), Upload)


def _complete(transport: Transport, upload: Upload) -> Upload:
    # Completing what is complete answers the same.
    call = Call("POST", f"v1/uploads/{upload.id}/complete", repeatable=True)
    return transport.read(call, Upload)


def _missing(source: _Source, upload: Upload) -> list[UploadPart]:
    """The parts that have not arrived, or not as they are in the file."""
    return [
        part
        for part in upload.parts
        if not part.received
        or (part.sha256 is not None and part.sha256 != _sha256_of_part(source, upload, part))
    ]


def _unproven(source: _Source, upload: Upload) -> list[UploadPart]:
    """The parts that may have arrived otherwise than they are in the file: links hash nothing."""
    return [part for part in upload.parts if part.sha256 != _sha256_of_part(source, upload, part)]


def _sha256_of_part(source: _Source, upload: Upload, part: UploadPart) -> str:
    digest = hashlib.sha256()
    for piece in _pieces_of(source, upload, part):
        digest.update(piece)
    return digest.hexdigest()


def _send(
    transport: Transport,
    source: _Source,
    upload: Upload,
    parts: Sequence[UploadPart],
    *,
    links_fail: threading.Event,
    on_bytes: OnBytes,
) -> None:
    """Send parts, several at once; the first error stops those not begun."""
    failed = threading.Event()

    def send(part: UploadPart) -> None:
        if failed.is_set():
            return
        try:
            _send_part(transport, source, upload, part, links_fail=links_fail)
        except BaseException:
            failed.set()
            raise
        on_bytes(_bytes_of(upload, part))

    with ThreadPoolExecutor(max_workers=_PARTS_AT_ONCE) as pool:
        try:
            for done in [pool.submit(send, part) for part in parts]:
                done.result()
        finally:
            failed.set()


def _send_part(
    transport: Transport,
    source: _Source,
    upload: Upload,
    part: UploadPart,
    *,
    links_fail: threading.Event,
) -> None:
    """Send a part to where the service says; through the service, once links have failed.

    Of a part that came both ways the one through the service counts: it is replaced in that way.
    """
    size = _bytes_of(upload, part)
    call = Call(
        "PUT",
        part.url,
        content=lambda: _pieces_of(source, upload, part),
        headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"},
    )
    if transport.is_elsewhere(part.url):
        if part.sha256 is None and not links_fail.is_set():
            try:
                transport.send(call)
            except (ApiProblem, ConnectionFailed, UnexpectedAnswer):
                # A machine that reaches the service need not reach its object storage.
                links_fail.set()
            else:
                return
        call = replace(call, url=f"v1/uploads/{upload.id}/parts/{part.number}")
    transport.send(call)


def _pieces_of(source: _Source, upload: Upload, part: UploadPart) -> Iterator[bytes]:
    offset = (part.number - 1) * upload.part_size_bytes
    return pieces_of(source.path, offset=offset, size=_bytes_of(upload, part))


def _bytes_of(upload: Upload, part: UploadPart) -> int:
    start = (part.number - 1) * upload.part_size_bytes
    return min(upload.part_size_bytes, upload.size_bytes - start)
