"""What happens to an upload while somebody else closes it, and when tidying up fails."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal

from api.state import AppState
from api.uploads import service
from kdstore import condemned, upload_bytes, uploads
from kdstore.db import reading, transaction
from kdstore.errors import ObjectNotFound, StorageUnavailable, UploadClosed
from kdstore.objects import ObjectStore
from kdstore.tables import Upload

Rows = Any  # a class of conftest.py, which tests cannot import


@pytest.fixture
def upload(rows: Rows, state: AppState) -> Upload:
    """A pending upload of one part of four bytes."""
    with transaction(state.session_factory) as session:
        return uploads.create(
            session,
            workspace_id=rows.workspace_id,
            purpose="dataset",
            filename="a.npz",
            size_bytes=4,
            sha256=None,
            part_size_bytes=4,
            max_bytes=100,
            expiry_seconds=60,
        )


def _send(portal: BlockingPortal, state: AppState, upload: Upload) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"0123"

    _take(portal, state, upload, chunks())


def _take(
    portal: BlockingPortal, state: AppState, upload: Upload, chunks: AsyncIterator[bytes]
) -> None:
    portal.call(
        partial(
            service.take_part,
            state,
            workspace_id=upload.workspace_id,
            upload_id=upload.id,
            number=1,
            chunks=chunks,
        )
    )


def _keys(objects: ObjectStore) -> list[str]:
    return list(objects.list_keys("uploads"))


def test_content_that_is_being_swept_is_stored_under_its_next_key(
    portal: BlockingPortal, state: AppState, upload: Upload, object_store: ObjectStore
) -> None:
    swept = upload_bytes.blob_key(hashlib.sha256(b"0123").hexdigest())
    object_store.put_bytes(swept, b"0123")
    with transaction(state.session_factory) as session:
        condemned.condemn_orphans(session, [swept])
    _send(portal, state, upload)
    service.complete(state, workspace_id=upload.workspace_id, upload_id=upload.id)
    with reading(state.session_factory) as session:
        stored = session.get_one(Upload, upload.id)
    assert stored.object_key == f"{swept}-1"
    assert object_store.get_bytes(f"{swept}-1") == b"0123"


def test_part_of_an_upload_abandoned_meanwhile_leaves_nothing(
    portal: BlockingPortal, state: AppState, upload: Upload, object_store: ObjectStore
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"01"
        service.abandon(state, workspace_id=upload.workspace_id, upload_id=upload.id)
        yield b"23"

    with pytest.raises(UploadClosed):
        _take(portal, state, upload, chunks())
    assert _keys(object_store) == []


class StoreThatLoses(ObjectStore):
    """Object storage in which something happens just before a part is read."""

    def __init__(self, other: ObjectStore, happening: partial[Any]) -> None:
        super().__init__(other._store)
        self._happening = happening

    def iter_bytes(self, key: str, **where: Any) -> Iterator[bytes]:
        self._happening()
        return super().iter_bytes(key, **where)


def _with_objects(state: AppState, objects: ObjectStore) -> AppState:
    return replace(state, objects=objects)


def test_completing_an_upload_abandoned_meanwhile_says_so(
    portal: BlockingPortal, state: AppState, upload: Upload
) -> None:
    _send(portal, state, upload)
    abandon = partial(service.abandon, state, workspace_id=upload.workspace_id, upload_id=upload.id)
    racing = _with_objects(state, StoreThatLoses(state.objects, abandon))
    with pytest.raises(UploadClosed):
        service.complete(racing, workspace_id=upload.workspace_id, upload_id=upload.id)


def test_completing_an_upload_completed_meanwhile_answers_the_same(
    portal: BlockingPortal, state: AppState, upload: Upload
) -> None:
    _send(portal, state, upload)
    complete = partial(
        service.complete, state, workspace_id=upload.workspace_id, upload_id=upload.id
    )
    racing = _with_objects(state, StoreThatLoses(state.objects, complete))
    answer = service.complete(racing, workspace_id=upload.workspace_id, upload_id=upload.id)
    assert answer.status == "stored"


def test_lost_part_is_no_success(portal: BlockingPortal, state: AppState, upload: Upload) -> None:
    _send(portal, state, upload)
    upload_bytes.delete_parts(state.objects, upload.id)
    with pytest.raises(ObjectNotFound):
        service.complete(state, workspace_id=upload.workspace_id, upload_id=upload.id)
    with reading(state.session_factory) as session:
        row = uploads.get(session, workspace_id=upload.workspace_id, upload_id=upload.id)
    assert row.status == "pending"


class StoreThatKeeps(ObjectStore):
    """Object storage that cannot delete just now."""

    def delete_prefix(self, prefix: str) -> int:
        raise StorageUnavailable("It is down.", key=prefix)


def test_completed_upload_is_stored_even_if_its_parts_stay_behind(
    portal: BlockingPortal,
    state: AppState,
    upload: Upload,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _send(portal, state, upload)
    keeping = _with_objects(state, StoreThatKeeps(state.objects._store))
    answer = service.complete(keeping, workspace_id=upload.workspace_id, upload_id=upload.id)
    assert answer.status == "stored"
    assert "objects left behind" in caplog.messages
