"""The bytes of uploads: parts streamed in, then put together into one object named by content.

Nothing here holds a database session, and nothing is ever whole in memory.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from kdstore.errors import DigestMismatch, ObjectNotFound, PartSizeMismatch
from kdstore.ids import random_text
from kdstore.objects import ObjectStore
from kdstore.tables import Upload

_SIGNED = "-signed"


@dataclass(frozen=True)
class StoredPart:
    """A part whose bytes are whole in object storage."""

    number: int
    size_bytes: int
    sha256: str
    object_key: str


@dataclass(frozen=True)
class SignedPart:
    """A part that a client wrote by a signed link: nobody has read it yet."""

    number: int
    size_bytes: int
    object_key: str


@dataclass(frozen=True)
class Assembly:
    """What is to be put together into one object, decided in a transaction, done outside one."""

    upload_id: str
    workspace_id: str
    size_bytes: int
    announced_sha256: str | None
    parts: tuple[StoredPart | SignedPart, ...]


@dataclass(frozen=True)
class StoredBlob:
    """The assembled object, named by its content."""

    object_key: str
    sha256: str
    size_bytes: int


def blob_key(sha256: str) -> str:
    """Name the object of a stored upload by its content."""
    return f"blobs/{sha256}"


async def store_part(
    objects: ObjectStore, upload: Upload, *, number: int, chunks: AsyncIterator[bytes]
) -> StoredPart:
    """Stream a part into object storage, counting and hashing.

    Every call writes an object of its own, so that a part sent twice at once is one of the two,
    never a mixture.

    Raises:
        PartSizeMismatch: it has other than its due number of bytes; nothing is stored. Reading
            stops at the first chunk too many.
    """
    expected_bytes = upload.part_bytes(number)
    digest = hashlib.sha256()
    size_bytes = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size_bytes
        async for chunk in chunks:
            size_bytes += len(chunk)
            if size_bytes > expected_bytes:
                break
            digest.update(chunk)
            yield chunk
        if size_bytes != expected_bytes:
            raise PartSizeMismatch(
                number=number, expected_bytes=expected_bytes, found_bytes=size_bytes
            )

    object_key = f"{_parts_prefix(upload.id)}/{number:05}-{random_text(12)}"
    await objects.put_stream_async(object_key, counted())
    return StoredPart(
        number=number,
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        object_key=object_key,
    )


def signed_part_key(upload_id: str, number: int) -> str:
    """Name the object of a part that a client writes by a signed link."""
    return f"{_parts_prefix(upload_id)}/{number:05}{_SIGNED}"


def signed_parts(objects: ObjectStore, upload: Upload) -> dict[int, SignedPart]:
    """Find the parts that have come by signed links, whole; others are as good as missing.

    Raises:
        StorageUnavailable: they cannot be listed now.
    """
    sizes = objects.list_sizes(_parts_prefix(upload.id))
    found: dict[int, SignedPart] = {}
    for number in range(1, upload.num_parts + 1):
        key = signed_part_key(upload.id, number)
        due_bytes = upload.part_bytes(number)
        if sizes.get(key) == due_bytes:
            found[number] = SignedPart(number=number, size_bytes=due_bytes, object_key=key)
    return found


def assemble(
    objects: ObjectStore, assembly: Assembly, *, key_of: Callable[[str], str] = blob_key
) -> StoredBlob:
    """Stream the parts into `blobs/<sha256>`, checking each part and the whole.

    The parts stay. An object of the same content is not written again. `key_of` names the object
    by its sha256; where objects are swept, by `kdstore.condemned.storable_key`.

    Raises:
        DigestMismatch: a part, or the whole, is not what was announced.
        PartSizeMismatch: a part was replaced meanwhile by one of another size.
        ObjectNotFound: a part's object is gone: the upload was abandoned meanwhile.
    """
    # An object is stored under its digest: unless that was announced, a first pass finds it.
    sha256 = assembly.announced_sha256 or _digest(objects, assembly)
    key = key_of(sha256)
    if not _is_stored(objects, key, assembly.size_bytes):
        objects.put_stream(key, _checked_chunks(objects, assembly, sha256=sha256))
    elif assembly.announced_sha256 is not None:
        _digest(objects, assembly)  # who announces a stranger's digest must hold the bytes too
    return StoredBlob(object_key=key, sha256=sha256, size_bytes=assembly.size_bytes)


def delete_parts(objects: ObjectStore, upload_id: str) -> None:
    """Delete the objects of all parts, after a commit that stored or closed the upload."""
    objects.delete_prefix(_parts_prefix(upload_id))


def _digest(objects: ObjectStore, assembly: Assembly) -> str:
    digest = hashlib.sha256()
    for chunk in _checked_chunks(objects, assembly, sha256=assembly.announced_sha256):
        digest.update(chunk)
    return digest.hexdigest()


def _checked_chunks(
    objects: ObjectStore, assembly: Assembly, *, sha256: str | None
) -> Iterator[bytes]:
    """All bytes in order; raises at the end of what does not have its digest, part or whole."""
    whole = hashlib.sha256()
    for part in assembly.parts:
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in objects.iter_bytes(part.object_key):
            digest.update(chunk)
            whole.update(chunk)
            size_bytes += len(chunk)
            yield chunk
        if size_bytes != part.size_bytes:
            raise PartSizeMismatch(
                number=part.number, expected_bytes=part.size_bytes, found_bytes=size_bytes
            )
        if isinstance(part, StoredPart):
            _check_digest(expected=part.sha256, found=digest.hexdigest())
    if sha256 is not None:
        _check_digest(expected=sha256, found=whole.hexdigest())


def _check_digest(*, expected: str, found: str) -> None:
    if expected != found:
        raise DigestMismatch(expected_sha256=expected, found_sha256=found)


def _is_stored(objects: ObjectStore, key: str, size_bytes: int) -> bool:
    try:
        # After a power cut a local file may be shorter than it was written: then write it anew.
        return objects.head(key).size_bytes == size_bytes
    except ObjectNotFound:
        return False


def _parts_prefix(upload_id: str) -> str:
    return f"uploads/{upload_id}"
