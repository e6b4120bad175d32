"""Parts become one object under its digest, or nothing at all; never whole in memory."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from kdstore.errors import DigestMismatch, ObjectNotFound, PartSizeMismatch
from kdstore.objects import ObjectStore
from kdstore.tables import Upload
from kdstore.upload_bytes import Assembly, StoredPart, assemble, delete_parts, store_part

CONTENT = bytes(range(25))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Send = Callable[[int, bytes], StoredPart]


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.from_url(f"file://{tmp_path}/objects")


@pytest.fixture
def upload() -> Upload:
    return Upload(id="upl_1", workspace_id="wsp_1", size_bytes=25, part_size_bytes=10)


@pytest.fixture
def send(objects: ObjectStore, upload: Upload) -> Send:
    def send(number: int, data: bytes) -> StoredPart:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 4):
                yield data[start : start + 4]

        return asyncio.run(store_part(objects, upload, number=number, chunks=chunks()))

    return send


@pytest.fixture
def assembly(send: Send) -> Assembly:
    parts = (send(1, CONTENT[:10]), send(2, CONTENT[10:20]), send(3, CONTENT[20:]))
    return Assembly(
        upload_id="upl_1",
        workspace_id="wsp_1",
        size_bytes=25,
        announced_sha256=None,
        parts=parts,
    )


def _announcing(assembly: Assembly, sha256: str) -> Assembly:
    return Assembly(
        upload_id=assembly.upload_id,
        workspace_id=assembly.workspace_id,
        size_bytes=assembly.size_bytes,
        announced_sha256=sha256,
        parts=assembly.parts,
    )


def test_part_is_stored_with_size_and_digest(objects: ObjectStore, send: Send) -> None:
    part = send(1, CONTENT[:10])
    assert (part.number, part.size_bytes) == (1, 10)
    assert part.sha256 == hashlib.sha256(CONTENT[:10]).hexdigest()
    assert objects.get_bytes(part.object_key) == CONTENT[:10]


@pytest.mark.parametrize("size", [0, 9, 11, 1000])
def test_part_of_another_size_leaves_nothing(size: int, objects: ObjectStore, send: Send) -> None:
    with pytest.raises(PartSizeMismatch) as raised:
        send(1, b"x" * size)
    assert (raised.value.number, raised.value.expected_bytes) == (1, 10)
    assert list(objects.list_keys("uploads")) == []


def test_reading_stops_at_the_first_chunk_too_many(objects: ObjectStore, upload: Upload) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 4
            yield b"xxxx"

    with pytest.raises(PartSizeMismatch):
        asyncio.run(store_part(objects, upload, number=1, chunks=endless()))
    assert read == 12


def test_part_sent_twice_makes_two_objects(send: Send) -> None:
    assert send(1, CONTENT[:10]).object_key != send(1, CONTENT[:10]).object_key


@pytest.mark.parametrize("is_announced", [True, False])
def test_parts_become_one_object_named_by_its_digest(
    is_announced: bool, objects: ObjectStore, assembly: Assembly
) -> None:
    blob = assemble(objects, _announcing(assembly, SHA256) if is_announced else assembly)
    assert (blob.object_key, blob.sha256, blob.size_bytes) == (f"blobs/{SHA256}", SHA256, 25)
    assert objects.get_bytes(blob.object_key) == CONTENT


def test_same_content_is_stored_once(objects: ObjectStore, assembly: Assembly) -> None:
    first = assemble(objects, assembly)
    before = objects.head(first.object_key).etag
    assert assemble(objects, _announcing(assembly, SHA256)) == first
    assert assemble(objects, assembly) == first
    assert objects.head(first.object_key).etag == before


def test_object_cut_short_by_a_power_cut_is_written_anew(
    objects: ObjectStore, assembly: Assembly
) -> None:
    objects.put_bytes(f"blobs/{SHA256}", CONTENT[:7])
    assert objects.get_bytes(assemble(objects, assembly).object_key) == CONTENT


def test_other_bytes_than_announced_are_refused_and_leave_no_object(
    objects: ObjectStore, assembly: Assembly
) -> None:
    wanted = "0" * 64
    with pytest.raises(DigestMismatch) as raised:
        assemble(objects, _announcing(assembly, wanted))
    assert (raised.value.expected_sha256, raised.value.found_sha256) == (wanted, SHA256)
    assert list(objects.list_keys("blobs")) == []


def test_announcing_the_digest_of_a_strangers_file_does_not_give_it(
    objects: ObjectStore, assembly: Assembly
) -> None:
    theirs = b"twenty-five secret bytes!"
    stolen = hashlib.sha256(theirs).hexdigest()
    objects.put_bytes(f"blobs/{stolen}", theirs)
    with pytest.raises(DigestMismatch):
        assemble(objects, _announcing(assembly, stolen))


def test_part_changed_after_it_was_registered_is_refused(
    objects: ObjectStore, assembly: Assembly
) -> None:
    objects.put_bytes(assembly.parts[1].object_key, b"y" * 10)
    with pytest.raises(DigestMismatch):
        assemble(objects, assembly)
    assert list(objects.list_keys("blobs")) == []


def test_parts_deleted_meanwhile_are_not_found(objects: ObjectStore, assembly: Assembly) -> None:
    delete_parts(objects, "upl_1")
    with pytest.raises(ObjectNotFound):
        assemble(objects, assembly)
    assert list(objects.list_keys("blobs")) == []


def test_memory_stays_flat_however_large_the_upload(objects: ObjectStore) -> None:
    mebibyte = 1024 * 1024
    block = bytes(mebibyte)

    def zeros(count: int) -> Iterator[bytes]:
        return (block for _ in range(count))

    parts = []
    for number in (1, 2):
        objects.put_stream(f"uploads/upl_2/{number}", zeros(32))
        digest = hashlib.sha256(block * 32).hexdigest()
        parts.append(StoredPart(number, 32 * mebibyte, digest, f"uploads/upl_2/{number}"))
    large = Assembly("upl_2", "wsp_1", 64 * mebibyte, None, tuple(parts))
    tracemalloc.start()
    assemble(objects, large)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 * mebibyte
