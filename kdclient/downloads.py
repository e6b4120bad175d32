"""Artifacts onto this machine: interrupted downloads go on, every byte is checked."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from kdclient.errors import ConnectionFailed, DigestMismatch, UnexpectedAnswer
from kdclient.file_pieces import sha256_of
from kdclient.resources import Artifact
from kdclient.transport import Call, Transport

OnBytes = Callable[[int], None]

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def download_all(
    transport: Transport, artifacts: Sequence[Artifact], folder: Path, *, on_bytes: OnBytes
) -> list[Path]:
    """Download artifacts into `folder`, which is made; what is there and whole is left alone.

    `on_bytes` is told how many more bytes are there.

    Raises:
        DigestMismatch: a file is damaged even after a second download from its start.
        ConnectionFailed, ApiProblem, UnexpectedAnswer: as `Transport.send`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_download(transport, each, folder, on_bytes=on_bytes) for each in artifacts]


def _download(transport: Transport, artifact: Artifact, folder: Path, *, on_bytes: OnBytes) -> Path:
    if not _SAFE_NAME.fullmatch(artifact.name):
        raise UnexpectedAnswer(artifact.url, 200, f"{artifact.name!r} is no name of a file of ours")
    path = folder / artifact.name
    if path.is_file() and sha256_of(path) == artifact.sha256:
        on_bytes(artifact.size_bytes)
        return path
    draft = folder / f".{artifact.name}.part"
    resumed = draft.exists()
    found = _fetch(transport, artifact, draft, on_bytes=on_bytes)
    if found != artifact.sha256 and resumed:
        # What an earlier run left may have been another file's beginning.
        draft.unlink()
        found = _fetch(transport, artifact, draft, on_bytes=on_bytes)
    if found != artifact.sha256:
        draft.unlink()
        raise DigestMismatch(artifact.name, expected_sha256=artifact.sha256, found_sha256=found)
    draft.replace(path)
    return path


def _fetch(transport: Transport, artifact: Artifact, draft: Path, *, on_bytes: OnBytes) -> str:
    """Download into `draft`, going on where it ends, until it has its size; returns its sha256."""
    draft.touch()
    on_bytes(draft.stat().st_size)
    breaks, direct = 0, True
    while (start := draft.stat().st_size) < artifact.size_bytes:
        reason = "the answer ended too early"
        try:
            _append(transport, artifact, draft, start=start, direct=direct, on_bytes=on_bytes)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        except (ConnectionFailed, UnexpectedAnswer):
            # A machine that reaches the service need not reach its object storage.
            if not direct:
                raise
            direct = False
            continue
        size = draft.stat().st_size
        breaks = 0 if size > start else breaks + 1
        if size < artifact.size_bytes and not transport.pause(breaks):
            raise ConnectionFailed(artifact.url, reason)
    return sha256_of(draft)


def _append(
    transport: Transport,
    artifact: Artifact,
    draft: Path,
    *,
    start: int,
    direct: bool,
    on_bytes: OnBytes,
) -> None:
    # No If-Range: an artifact never changes, and its sha256 is checked at the end anyway.
    headers = {"Range": f"bytes={start}-"} if start else {}
    # Compressed bytes could not be continued at an offset.
    headers["Accept-Encoding"] = "identity"
    call = Call(
        "GET",
        artifact.url,
        params={} if direct else {"direct": "false"},
        headers=headers,
        follows_redirects=True,
    )
    with (
        transport.open(call) as response,
        draft.open("ab") as file,
    ):
        if start and response.status_code != httpx.codes.PARTIAL_CONTENT:
            file.truncate(0)
            on_bytes(-start)
        for piece in response.iter_raw():
            file.write(piece)
            on_bytes(len(piece))
