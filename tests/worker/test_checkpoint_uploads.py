"""Checkpoints reach storage whole or not at all, the newest first, also through its bad hours."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdcore.progress import CheckpointSaved
from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore
from tests.worker.jobs_on_digits import JobBook, small_job, wait_until
from worker.checkpoint_uploads import CheckpointUploads
from worker.runtime import Runtime


@pytest.fixture
def fence(book: JobBook, session_factory: SessionFactory) -> jobs.Fence:
    job_id = book.create(small_job())
    with transaction(session_factory) as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=3600.0)
    assert claim is not None
    return claim.fence


@pytest.fixture
def uploads(runtime: Runtime, fence: jobs.Fence, tmp_path: Path) -> Iterator[CheckpointUploads]:
    uploads = CheckpointUploads(runtime, fence, tmp_path / "outbox")
    yield uploads
    uploads.close()


def offer_checkpoint(uploads: CheckpointUploads, folder: Path, step: int) -> None:
    path = folder / f"checkpoint-{step}"
    path.write_bytes(b"state %d" % step)
    offer_file(uploads, path, step)


def offer_file(uploads: CheckpointUploads, path: Path, step: int) -> None:
    held = uploads.hold(
        CheckpointSaved(
            path=str(path),
            sha256="0" * 64,
            size_bytes=path.stat().st_size,
            run="network",
            training_stage="training",
            step=step,
            total_steps=step,
        )
    )
    assert held is not None
    uploads.offer(held)


class Outage:
    """Storage that fails: a file lies where the folder of the jobs would be."""

    def __init__(self, objects: ObjectStore) -> None:
        path = objects.local_path("jobs")
        assert path is not None
        self._path = path

    def begin(self) -> None:
        self._path.write_text("in the way")

    def end(self) -> None:
        self._path.unlink()


def test_newest_two_are_kept_and_older_objects_deleted(
    uploads: CheckpointUploads,
    fence: jobs.Fence,
    book: JobBook,
    object_store: ObjectStore,
    tmp_path: Path,
) -> None:
    for step in (1, 2, 3):
        offer_checkpoint(uploads, tmp_path, step)
        uploads.drain(timeout_seconds=60.0)
    stored = book.checkpoints(fence.job_id)
    assert [checkpoint.step for checkpoint in stored] == [3, 2]
    keys = set(object_store.list_keys(f"jobs/{fence.job_id}/checkpoints"))
    assert keys == {checkpoint.object_key for checkpoint in stored}


def test_storage_that_is_away_is_tried_until_it_is_back(
    uploads: CheckpointUploads,
    fence: jobs.Fence,
    book: JobBook,
    object_store: ObjectStore,
    tmp_path: Path,
) -> None:
    outage = Outage(object_store)
    outage.begin()
    offer_checkpoint(uploads, tmp_path, 1)
    uploads.drain(timeout_seconds=0.2)
    assert book.checkpoints(fence.job_id) == []
    outage.end()
    wait_until(lambda: len(book.checkpoints(fence.job_id)) == 1)


def test_newer_checkpoint_replaces_one_that_could_not_be_stored(
    uploads: CheckpointUploads,
    fence: jobs.Fence,
    book: JobBook,
    object_store: ObjectStore,
    tmp_path: Path,
) -> None:
    outage = Outage(object_store)
    outage.begin()
    for step in (1, 2, 3):
        offer_checkpoint(uploads, tmp_path, step)
    outage.end()
    uploads.drain(timeout_seconds=60.0)
    wait_until(lambda: len(book.checkpoints(fence.job_id)) > 0)
    assert book.checkpoints(fence.job_id)[0].step == 3
    uploads.close()
    assert list((tmp_path / "outbox").iterdir()) == []


def test_lost_attempt_leaves_no_object(
    uploads: CheckpointUploads,
    fence: jobs.Fence,
    book: JobBook,
    object_store: ObjectStore,
    session_factory: SessionFactory,
    tmp_path: Path,
) -> None:
    with transaction(session_factory) as session:
        jobs.release(session, fence)
    offer_checkpoint(uploads, tmp_path, 1)
    uploads.close()
    assert book.checkpoints(fence.job_id) == []
    assert list(object_store.list_keys("jobs")) == []


def _is_opening_a_file(uploads: CheckpointUploads) -> bool:
    ident = uploads._thread.ident
    assert ident is not None
    frame = sys._current_frames().get(ident)
    return frame is not None and frame.f_code.co_qualname == "CheckedFile.__init__"


def test_upload_that_does_not_move_is_left_to_itself_and_what_it_stores_is_refused(
    uploads: CheckpointUploads,
    fence: jobs.Fence,
    book: JobBook,
    object_store: ObjectStore,
    session_factory: SessionFactory,
    tmp_path: Path,
) -> None:
    stuck = tmp_path / "stuck"
    os.mkfifo(stuck)  # nobody gets further who opens it, until it has a writer
    offer_file(uploads, stuck, 1)
    wait_until(lambda: _is_opening_a_file(uploads))
    closing = threading.Thread(target=uploads.close, daemon=True)
    closing.start()
    closing.join(20.0)
    is_closed = not closing.is_alive()
    with transaction(session_factory) as session:
        jobs.release(session, fence)
    os.close(os.open(stuck, os.O_RDWR))  # also lets go of one that nobody waits for
    uploads.close()
    assert is_closed
    assert book.checkpoints(fence.job_id) == []
    assert list(object_store.list_keys("jobs")) == []


def test_large_upload_ends_at_its_next_chunk_when_the_worker_gives_up(
    uploads: CheckpointUploads, runtime: Runtime, object_store: ObjectStore, tmp_path: Path
) -> None:
    runtime.abandon.set()
    offer_checkpoint(uploads, tmp_path, 1)
    uploads.drain(timeout_seconds=60.0)
    assert list(object_store.list_keys("jobs")) == []


def test_waiting_for_the_newest_ends_when_it_must(
    uploads: CheckpointUploads, object_store: ObjectStore, tmp_path: Path
) -> None:
    outage = Outage(object_store)
    outage.begin()
    offer_checkpoint(uploads, tmp_path, 1)
    waiting = threading.Thread(
        target=uploads.drain,
        kwargs={"timeout_seconds": 3600.0, "should_stop": lambda: True},
        daemon=True,
    )
    waiting.start()
    waiting.join(20.0)
    assert not waiting.is_alive()
    outage.end()
