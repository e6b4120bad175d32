"""What uploads do: rows in short transactions, bytes between them."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.addresses import url_of
from api.state import AppState
from api.uploads.schemas import PartRead, UploadCreate, UploadRead
from kdstore import condemned, upload_bytes, uploads
from kdstore.db import reading, transaction
from kdstore.errors import (
    ObjectCondemned,
    ObjectNotFound,
    PartNumberInvalid,
    StorageUnavailable,
    UploadClosed,
    UploadNotFound,
)
from kdstore.tables import Upload
from kdstore.upload_bytes import Assembly, SignedPart, StoredPart

_LOG = logging.getLogger("potstill.api.uploads")


def create(
    session: Session, *, workspace_id: str, state: AppState, wanted: UploadCreate
) -> UploadRead:
    """Open an upload. Raises UploadTooLarge."""
    settings = state.settings
    upload = uploads.create(
        session,
        workspace_id=workspace_id,
        purpose=wanted.purpose,
        filename=wanted.filename,
        size_bytes=wanted.size_bytes,
        sha256=wanted.sha256,
        part_size_bytes=settings.part_size_bytes,
        max_bytes=settings.max_upload_bytes,
        expiry_seconds=settings.upload_expiry_seconds,
    )
    return _described(state, upload, {})


def read(state: AppState, *, workspace_id: str, upload_id: str) -> UploadRead:
    """Read an upload and which of its parts have arrived. Raises UploadNotFound."""
    with reading(state.session_factory) as session:
        upload = uploads.get(session, workspace_id=workspace_id, upload_id=upload_id)
        rows = uploads.parts_of(session, workspace_id=workspace_id, upload_id=upload_id)
    arrived: dict[int, str | None] = dict.fromkeys(_signed_parts(state, upload))
    return _described(state, upload, arrived | {row.number: row.sha256 for row in rows})


async def take_part(
    state: AppState,
    *,
    workspace_id: str,
    upload_id: str,
    number: int,
    chunks: AsyncIterator[bytes],
) -> StoredPart:
    """Stream one part into storage; no transaction is open while its bytes arrive.

    Raises:
        UploadNotFound, UploadClosed, PartNumberInvalid, PartSizeMismatch, UploadsBusy.
    """
    upload = await run_in_threadpool(
        _open_for_part, state, workspace_id=workspace_id, upload_id=upload_id, number=number
    )
    async with state.upload_slots.parts.one():
        part = await upload_bytes.store_part(state.objects, upload, number=number, chunks=chunks)
    await run_in_threadpool(
        _register, state, workspace_id=workspace_id, upload_id=upload_id, part=part
    )
    return part


def complete(state: AppState, *, workspace_id: str, upload_id: str) -> UploadRead:
    """Put the parts together, check size and sha256, and keep the whole.

    Completing it again answers the same.

    Raises:
        UploadNotFound, UploadClosed, UploadIncomplete, DigestMismatch.
    """
    assembly = _plan(state, workspace_id=workspace_id, upload_id=upload_id)
    if assembly is not None:
        _assemble(state, assembly)
    return read(state, workspace_id=workspace_id, upload_id=upload_id)


def abandon(state: AppState, *, workspace_id: str, upload_id: str) -> None:
    """Close an upload and delete what has arrived. Raises UploadNotFound, UploadClosed."""
    with transaction(state.session_factory) as session:
        uploads.abandon(session, workspace_id=workspace_id, upload_id=upload_id)
    with _tidying(upload_id):
        upload_bytes.delete_parts(state.objects, upload_id)


def _plan(state: AppState, *, workspace_id: str, upload_id: str) -> Assembly | None:
    with reading(state.session_factory) as session:
        upload = uploads.get(session, workspace_id=workspace_id, upload_id=upload_id)
    signed = _signed_parts(state, upload)  # asked while no session is open
    with reading(state.session_factory) as session:
        return uploads.plan_assembly(
            session, workspace_id=workspace_id, upload_id=upload_id, signed_parts=signed
        )


def _signed_parts(state: AppState, upload: Upload) -> dict[int, SignedPart]:
    if state.links is None or upload.status != "pending":
        return {}
    return upload_bytes.signed_parts(state.objects, upload)


def _open_for_part(state: AppState, *, workspace_id: str, upload_id: str, number: int) -> Upload:
    with reading(state.session_factory) as session:
        return uploads.open_for_part(
            session, workspace_id=workspace_id, upload_id=upload_id, number=number
        )


def _register(state: AppState, *, workspace_id: str, upload_id: str, part: StoredPart) -> None:
    try:
        with transaction(state.session_factory) as session:
            replaced = uploads.register_part(
                session, workspace_id=workspace_id, upload_id=upload_id, part=part
            )
    except (UploadNotFound, UploadClosed, PartNumberInvalid):
        with _tidying(upload_id):
            state.objects.delete(part.object_key)
        raise
    if replaced is not None:
        with _tidying(upload_id):
            state.objects.delete(replaced)


def _assemble(state: AppState, assembly: Assembly) -> None:
    try:
        _store(state, assembly)
    except ObjectNotFound:
        # Abandoned, or completed by another request, while we were reading: its row tells which.
        still_wanted = _plan(
            state, workspace_id=assembly.workspace_id, upload_id=assembly.upload_id
        )
        if still_wanted is not None:
            raise
        return
    with _tidying(assembly.upload_id):
        upload_bytes.delete_parts(state.objects, assembly.upload_id)


def _store(state: AppState, assembly: Assembly) -> None:
    """Store the whole and record it; anew, under its next key, if it was swept in between."""

    def key_of(sha256: str) -> str:
        with reading(state.session_factory) as session:
            return condemned.storable_key(session, upload_bytes.blob_key(sha256))

    while True:
        blob = upload_bytes.assemble(state.objects, assembly, key_of=key_of)
        try:
            with transaction(state.session_factory) as session:
                uploads.mark_stored(session, assembly, blob)
        except ObjectCondemned:
            continue
        return


@contextmanager
def _tidying(upload_id: str) -> Iterator[None]:
    """Delete what nobody needs any more; if that fails, what was asked is done all the same."""
    try:
        yield
    except StorageUnavailable:
        _LOG.warning("objects left behind", exc_info=True, extra={"upload_id": upload_id})


def _described(state: AppState, upload: Upload, arrived: Mapping[int, str | None]) -> UploadRead:
    """Make the answer; `arrived` has the sha256 of each part that is there, as far as known."""
    everything = upload.status == "stored"
    parts = [
        PartRead(
            number=number,
            url=_part_url(state, upload, number),
            size_bytes=upload.part_bytes(number),
            received=everything or number in arrived,
            sha256=arrived.get(number),
        )
        for number in range(1, upload.num_parts + 1)
    ]
    return UploadRead(
        id=upload.id,
        status=upload.status,
        purpose=upload.purpose,
        filename=upload.filename,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        part_size_bytes=upload.part_size_bytes,
        parts=parts,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        stored_at=upload.stored_at,
    )


def _part_url(state: AppState, upload: Upload, number: int) -> str:
    if state.links is not None and upload.status == "pending":
        return state.links.to_write(upload_bytes.signed_part_key(upload.id, number))
    return url_of(state.settings, f"/v1/uploads/{upload.id}/parts/{number}")
