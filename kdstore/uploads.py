"""Uploads: files that arrive in parts and become one object named by its content."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from kdstore.objects import ObjectStore
from kdstore.tables import Upload, UploadPart, UploadPurpose


@dataclass(frozen=True)
class StoredPart:
    """A part whose bytes are whole in object storage."""

    number: int
    size_bytes: int
    sha256: str
    object_key: str


@dataclass(frozen=True)
class Assembly:
    """What is to be put together into one object, decided in a transaction, done outside one."""

    upload_id: str
    workspace_id: str
    size_bytes: int
    announced_sha256: str | None
    parts: tuple[StoredPart, ...]


@dataclass(frozen=True)
class StoredBlob:
    """The assembled object, named by its content."""

    object_key: str
    sha256: str
    size_bytes: int


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
    raise NotImplementedError


def get(session: Session, *, workspace_id: str, upload_id: str) -> Upload:
    """Read one upload.

    Raises:
        UploadNotFound: no such upload in this workspace.
    """
    raise NotImplementedError


def parts_of(session: Session, *, workspace_id: str, upload_id: str) -> list[UploadPart]:
    """Read which parts have arrived, by number."""
    raise NotImplementedError


def open_for_part(session: Session, *, workspace_id: str, upload_id: str, number: int) -> Upload:
    """Read an upload that takes part `number`, before its bytes are read.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it takes no more parts.
        PartNumberInvalid: it has no such part.
    """
    raise NotImplementedError


async def store_part(
    objects: ObjectStore, upload: Upload, *, number: int, chunks: AsyncIterator[bytes]
) -> StoredPart:
    """Stream a part into object storage, counting and hashing; hold no session meanwhile.

    Raises:
        PartSizeMismatch: it has other than its due number of bytes; nothing is stored. Reading
            stops at the first byte too many.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def plan_assembly(session: Session, *, workspace_id: str, upload_id: str) -> Assembly | Upload:
    """Decide what `assemble` is to put together; an upload that is stored already is returned.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it was abandoned or has expired.
        UploadIncomplete: parts are missing.
    """
    raise NotImplementedError


def assemble(objects: ObjectStore, assembly: Assembly) -> StoredBlob:
    """Stream the parts into `blobs/<sha256>`, checking each and the whole; hold no session.

    The parts stay. An object of the same content is not written again.

    Raises:
        DigestMismatch: a part or the whole is not what was announced.
        ObjectNotFound: a part's object is gone (the upload was abandoned meanwhile).
    """
    raise NotImplementedError


def mark_stored(session: Session, assembly: Assembly, blob: StoredBlob) -> Upload:
    """Record the assembled object; then delete the parts' objects with `delete_parts`.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it was abandoned or has expired meanwhile.
    """
    raise NotImplementedError


def delete_parts(objects: ObjectStore, upload_id: str) -> None:
    """Delete the objects of all parts, after a commit that stored or closed the upload."""
    raise NotImplementedError


def abandon(session: Session, *, workspace_id: str, upload_id: str) -> None:
    """Close an upload without storing it; then delete its parts with `delete_parts`.

    Abandoning it again changes nothing.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadClosed: it is stored: a model or dataset may refer to it.
    """
    raise NotImplementedError


def sweep_expired(session: Session, *, limit: int = 100) -> tuple[str, ...]:
    """Close uploads past their expiry by the database's clock.

    Returns:
        Their ids: delete their parts with `delete_parts` after the commit.
    """
    raise NotImplementedError


def require_stored(
    session: Session, *, workspace_id: str, upload_id: str, purpose: UploadPurpose
) -> Upload:
    """Read an upload as the source of a model or dataset.

    Raises:
        UploadNotFound: no such upload in this workspace.
        UploadNotStored: it is not complete, or made for another purpose.
    """
    raise NotImplementedError
