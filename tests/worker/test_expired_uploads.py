"""Uploads past their expiry are closed and lose their parts, beside the sweeper and not in it."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from kdstore import uploads
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.errors import StorageUnavailable
from kdstore.objects import ObjectStore
from kdstore.tables import Upload
from kdstore.upload_bytes import signed_part_key
from tests.worker.jobs_on_digits import JobBook, open_book, wait_until
from tests.worker.test_faults import StorageOutage
from worker.expired_uploads import close_expired_uploads
from worker.retention import run_retention
from worker.runtime import Runtime
from worker.sweeper import sweep


@pytest.fixture
def uploaders(session_factory: SessionFactory) -> JobBook:
    return open_book(session_factory)


def expired_upload(uploaders: JobBook, objects: ObjectStore) -> str:
    """Begin an upload of two parts, of which one came, long ago."""
    with transaction(uploaders.session_factory) as session:
        upload_id = uploads.create(
            session,
            workspace_id=uploaders.workspace_id,
            purpose="checkpoint",
            filename="file",
            size_bytes=20,
            sha256=None,
            part_size_bytes=10,
            max_bytes=100,
            expiry_seconds=3600,
        ).id
        long_ago = now(session) - timedelta(days=1)
        session.execute(update(Upload).values(expires_at=long_ago))
    objects.put_bytes(signed_part_key(upload_id, 1), bytes(10))
    return upload_id


def statuses(uploaders: JobBook, upload_ids: list[str]) -> list[str]:
    with reading(uploaders.session_factory) as session:
        return [
            uploads.get(session, workspace_id=uploaders.workspace_id, upload_id=upload_id).status
            for upload_id in upload_ids
        ]


def test_expired_uploads_are_closed_and_lose_their_parts(
    runtime: Runtime, uploaders: JobBook, object_store: ObjectStore
) -> None:
    upload_ids = [expired_upload(uploaders, object_store) for _ in range(2)]
    close_expired_uploads(runtime)
    assert statuses(uploaders, upload_ids) == ["expired", "expired"]
    assert list(object_store.list_keys("uploads")) == []


def test_while_storage_is_away_no_more_is_closed_than_the_one_it_was_found_away_by(
    runtime: Runtime, uploaders: JobBook, object_store: ObjectStore
) -> None:
    upload_ids = [expired_upload(uploaders, object_store) for _ in range(3)]
    outage = StorageOutage(object_store)
    outage.begin()
    with pytest.raises(StorageUnavailable):
        close_expired_uploads(runtime)
    outage.end()
    assert sorted(statuses(uploaders, upload_ids)) == ["expired", "pending", "pending"]


def test_worker_does_it_while_it_runs(
    make_runtime: Callable[..., Runtime], uploaders: JobBook, object_store: ObjectStore
) -> None:
    upload_id = expired_upload(uploaders, object_store)
    runtime = make_runtime(collect_every_seconds=1)
    thread = threading.Thread(target=run_retention, args=(runtime,))
    thread.start()
    wait_until(lambda: not object_store.exists(signed_part_key(upload_id, 1)))
    runtime.stopping.set()
    thread.join()


def test_sweeper_that_others_depend_on_deletes_nothing_from_storage(
    runtime: Runtime, uploaders: JobBook, object_store: ObjectStore
) -> None:
    upload_id = expired_upload(uploaders, object_store)
    sweep(runtime)
    assert object_store.exists(signed_part_key(upload_id, 1))
