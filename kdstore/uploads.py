"""Uploads: the rows of files that arrive in parts. Their bytes are in `kdstore.upload_bytes`."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from kdstore import condemned
from kdstore.db import now
from kdstore.errors import (
    PartNumberInvalid,
    UploadClosed,
    UploadIncomplete,
    UploadNotFound,
    UploadNotStored,
    UploadTooLarge,
)
from kdstore.ids import new_id
from kdstore.tables import Upload, UploadPart, UploadPurpose
from kdstore.upload_bytes import Assembly, SignedPart, StoredBlob, StoredPart

NONE_SIGNED: Final[Mapping[int, SignedPart]] = MappingProxyType({})


def create(
    session: Session,
    *,
    workspace_id: str,
    purpose: UploadPurpose,
    filename: str,
    size_bytes: int,
    sha256: str | None,
    part_size_bytes: int,
    max_bytes: int,
    expiry_seconds: int,
) -> Upload:
    """Open an upload that is `pending` until it is completed or expires.

    Raises:
        UploadTooLarge: `size_bytes` is above `max_bytes`.
    """
    if size_bytes > max_bytes:
        raise UploadTooLarge(size_bytes=size_bytes, max_bytes=max_bytes)
    at = now(session)
    upload = Upload(
        id=new_id("upl"),
        workspace_id=workspace_id,
        purpose=purpose,
        filename=filename,
        size_bytes=size_bytes,
        part_size_bytes=part_size_bytes,
        sha256=sha256,
        status="pending",
        created_at=at,
        expires_at=at + timedelta(seconds=expiry_seconds),
    )
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, *, workspace_id: str, upload_id: str) -> Upload:
    """Read one upload.

    Raises:
        UploadNotFound: no such upload in this workspace.
    """
    statement = select(Upload).where(Upload.id == upload_id, Upload.workspace_id == workspace_id)
    upload = session.scalar(statement)
    if upload is None:
        raise UploadNotFound(upload_id)
    return upload


def parts_of(session: Session, *, workspace_id: str, upload_id: str) -> list[UploadPart]:
    """Read which parts have arrived, by number."""
    statement = (
        select(UploadPart)
        .join(Upload, Upload.id == UploadPart.upload_id)
        .where(Upload.workspace_id == workspace_id, UploadPart.upload_id == upload_id)
        .order_by(UploadPart.number)
    )
    return list(session.scalars(statement))


def open_for_part(session: Session, *, workspace_id: str, upload_id: str, number: int) -> Upload:
    """Read an upload that takes part `number`, before its bytes are read.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it takes no more parts.
        PartNumberInvalid: it has no such part.
    """
    upload = get(session, workspace_id=workspace_id, upload_id=upload_id)
    _check_takes_part(session, upload, number)
    return upload


def register_part(
    session: Session, *, workspace_id: str, upload_id: str, part: StoredPart
) -> str | None:
    """Record a stored part; sent again, the later one counts.

    Returns:
        The object key of the part that this one replaces: delete it after the commit.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it takes no more parts; the caller deletes the part's object.
        PartNumberInvalid: it has no such part.
    """
    upload = _lock(session, workspace_id=workspace_id, upload_id=upload_id)
    _check_takes_part(session, upload, part.number)
    row = session.get(UploadPart, (upload_id, part.number))
    replaced = row.object_key if row is not None else None
    if row is None:
        row = UploadPart(upload_id=upload_id, number=part.number)
        session.add(row)
    row.size_bytes = part.size_bytes
    row.sha256 = part.sha256
    row.object_key = part.object_key
    row.created_at = now(session)
    session.flush()
    return replaced


def plan_assembly(
    session: Session,
    *,
    workspace_id: str,
    upload_id: str,
    signed_parts: Mapping[int, SignedPart] = NONE_SIGNED,
) -> Assembly | None:
    """Decide what `assemble` is to put together; None if the upload is stored already.

    Of a part that came both ways, the one that this service has received and hashed counts.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it was abandoned or has expired.
        UploadIncomplete: parts are missing.
    """
    upload = get(session, workspace_id=workspace_id, upload_id=upload_id)
    if upload.status == "stored":
        return None
    if upload.status != "pending":
        raise UploadClosed(upload_id, upload.status)
    rows = parts_of(session, workspace_id=workspace_id, upload_id=upload_id)
    arrived: dict[int, StoredPart | SignedPart] = {
        **signed_parts,
        **{row.number: _stored(row) for row in rows},
    }
    missing = [number for number in range(1, upload.num_parts + 1) if number not in arrived]
    if missing:
        raise UploadIncomplete(upload_id, missing)
    return Assembly(
        upload_id=upload_id,
        workspace_id=workspace_id,
        size_bytes=upload.size_bytes,
        announced_sha256=upload.sha256,
        parts=tuple(arrived[number] for number in sorted(arrived)),
    )


def _stored(row: UploadPart) -> StoredPart:
    return StoredPart(
        number=row.number,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        object_key=row.object_key,
    )


def mark_stored(session: Session, assembly: Assembly, blob: StoredBlob) -> Upload:
    """Record the assembled object; after the commit, delete the parts with `delete_parts`.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it was abandoned or has expired meanwhile.
        ObjectCondemned: the object is being swept: assemble it again, under its next key.
    """
    upload = _lock(session, workspace_id=assembly.workspace_id, upload_id=assembly.upload_id)
    if upload.status == "stored":
        return upload  # another request completed it first, from the same parts
    if upload.status != "pending":
        raise UploadClosed(upload.id, upload.status)
    condemned.require_live(session, [blob.object_key])
    upload.status = "stored"
    upload.sha256 = blob.sha256
    upload.object_key = blob.object_key
    upload.stored_at = now(session)
    session.flush()
    return upload


def abandon(session: Session, *, workspace_id: str, upload_id: str) -> None:
    """Close an upload without storing it; after the commit, delete its parts.

    Abandoning it again changes nothing.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it is stored: a model or dataset may refer to it.
    """
    upload = _lock(session, workspace_id=workspace_id, upload_id=upload_id)
    if upload.status == "stored":
        raise UploadClosed(upload_id, upload.status)
    if upload.status == "pending":
        upload.status = "abandoned"
        session.flush()


def sweep_expired(session: Session, *, limit: int = 100) -> tuple[str, ...]:
    """Close uploads past their expiry by the database's clock.

    Returns:
        Their ids: delete their parts with `delete_parts` after the commit.
    """
    statement = (
        select(Upload)
        .where(Upload.status == "pending", Upload.expires_at < now(session))
        .order_by(Upload.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    expired = list(session.scalars(statement))
    for upload in expired:
        upload.status = "expired"
    session.flush()
    return tuple(upload.id for upload in expired)


def require_stored(
    session: Session, *, workspace_id: str, upload_id: str, purpose: UploadPurpose
) -> Upload:
    """Read an upload as the source of a model or dataset, and keep it from being swept.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadNotStored: it is not complete, or made for another purpose.
    """
    upload = _lock(session, workspace_id=workspace_id, upload_id=upload_id)
    if upload.status != "stored" or upload.purpose != purpose:
        raise UploadNotStored(
            upload_id, status=upload.status, purpose=upload.purpose, wanted=purpose
        )
    return upload


def _lock(session: Session, *, workspace_id: str, upload_id: str) -> Upload:
    statement = (
        select(Upload)
        .where(Upload.id == upload_id, Upload.workspace_id == workspace_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    upload = session.scalar(statement)
    if upload is None:
        raise UploadNotFound(upload_id)
    return upload


def _check_takes_part(session: Session, upload: Upload, number: int) -> None:
    if upload.status != "pending":
        raise UploadClosed(upload.id, upload.status)
    if upload.expires_at < now(session):
        raise UploadClosed(upload.id, "expired")
    if not 1 <= number <= upload.num_parts:
        raise PartNumberInvalid(number=number, num_parts=upload.num_parts)
