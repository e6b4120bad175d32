"""A round deletes what nobody needs, in its time; nothing that is referred to is ever deleted."""

import itertools
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from kdstore import condemned, retention, uploads, workers
from kdstore.capacity import Capacity
from kdstore.db import (
    SessionFactory,
    make_engine,
    make_session_factory,
    now,
    reading,
    transaction,
)
from kdstore.errors import ObjectCondemned
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import Artifact, Checkpoint, Dataset, Model, Upload, Worker
from kdstore.upload_bytes import Assembly, StoredBlob, blob_key
from tests.kdstore.holdings import Holdings, digest_of
from tests.worker.jobs_on_digits import both_databases
from worker.garbage import Collected, Collector


@pytest.fixture
def holdings(session_factory: SessionFactory, object_store: ObjectStore) -> Holdings:
    return Holdings(session_factory, object_store)


@pytest.fixture
def collect(
    session_factory: SessionFactory, object_store: ObjectStore, settings: Settings
) -> Callable[..., Collected]:
    """Call it to do a round in which nothing has a grace; keywords change settings."""

    def collect(*, is_dry_run: bool = False, **changes: int) -> Collected:
        chosen = settings.model_copy(update={"orphan_grace_seconds": 0, **changes})
        collector = Collector(session_factory, object_store, chosen, lambda: False, is_dry_run)
        return collector.collect()

    return collect


Collect = Callable[..., Collected]


def _keys(objects: ObjectStore) -> set[str]:
    return {listed.key for batch in objects.list_objects() for listed in batch}


def _referred(session_factory: SessionFactory) -> set[str]:
    """Every key in every row: written apart from the code that is tested."""
    with reading(session_factory) as session:
        keys: set[str | None] = set(session.scalars(select(Artifact.object_key)))
        keys |= set(session.scalars(select(Checkpoint.object_key)))
        keys |= set(session.scalars(select(Model.object_key)))
        keys |= set(session.scalars(select(Upload.object_key)))
        for dataset in session.scalars(select(Dataset)):
            keys |= {file["object_key"] for file in dataset.files or ()}
            keys |= {picture["object_key"] for picture in dataset.thumbnails or ()}
    return {key for key in keys if key is not None}


@both_databases
def test_round_deletes_orphans_and_nothing_else(
    holdings: Holdings, collect: Collect, session_factory: SessionFactory
) -> None:
    upload_id, _ = holdings.stored_upload()
    holdings.model(upload_id)
    holdings.dataset()
    holdings.pending_upload()
    fence = holdings.running_job()
    holdings.checkpoint(fence)
    holdings.put_artifact(fence, "half of the files")
    holdings.succeed(holdings.running_job())
    holdings.objects.put_bytes("notes/of the operator", b"mine")
    needed = _keys(holdings.objects)
    orphans = {blob_key("e" * 64), f"uploads/{upload_id}/00001-signed"}
    for key in orphans:
        holdings.objects.put_bytes(key, b"nobody's")
    collected = collect()
    assert set(collected.condemned) == set(collected.deleted) == orphans
    assert _keys(holdings.objects) == needed
    assert _referred(session_factory) <= needed
    assert collect().deleted == ()


@pytest.fixture
def leave_unfinished(settings: Settings) -> Callable[..., Path]:
    """Call it to leave the file of a write that last grew so long ago."""

    def leave(key: str, *, seconds: float) -> Path:
        path = Path(settings.objects.removeprefix("file://")) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"the first half")
        grown_at = time.time() - seconds
        os.utime(path, (grown_at, grown_at))
        return path

    return leave


LeaveUnfinished = Callable[..., Path]


@pytest.mark.parametrize(
    "key", ["uploads/u/00001-abc#1", f"blobs/{'e' * 64}#12", "jobs/j/artifacts/1/report.html#2"]
)
def test_what_killed_writes_left_is_deleted_after_the_grace(
    collect: Collect, leave_unfinished: LeaveUnfinished, key: str
) -> None:
    path = leave_unfinished(key, seconds=7300)
    assert collect(orphan_grace_seconds=7400).unfinished == ()
    assert collect(is_dry_run=True, orphan_grace_seconds=7200).unfinished == (key,)
    assert path.exists()
    assert collect(orphan_grace_seconds=7200).unfinished == (key,)
    assert not path.exists()


def test_write_at_work_is_left_alone_however_short_the_grace(
    collect: Collect, leave_unfinished: LeaveUnfinished
) -> None:
    path = leave_unfinished("uploads/u/00001-abc#1", seconds=60)
    assert collect(orphan_grace_seconds=0).unfinished == ()
    assert path.exists()


def test_file_of_the_operator_is_no_unfinished_write(
    collect: Collect, leave_unfinished: LeaveUnfinished
) -> None:
    path = leave_unfinished("notes/song#1", seconds=10**7)
    assert collect().unfinished == ()
    assert path.exists()


def test_new_orphans_are_left_alone(holdings: Holdings, collect: Collect) -> None:
    holdings.objects.put_bytes(blob_key("e" * 64), b"just arrived")
    assert collect(orphan_grace_seconds=3600).condemned == ()


def test_condemned_object_stays_for_the_grace(holdings: Holdings, collect: Collect) -> None:
    key = blob_key("e" * 64)
    holdings.objects.put_bytes(key, b"nobody's")
    with transaction(holdings.session_factory) as session:
        condemned.condemn_orphans(session, [key])
    assert collect(orphan_grace_seconds=3600).deleted == ()
    assert _keys(holdings.objects) == {key}


def test_what_policy_forgets_leaves_storage(
    holdings: Holdings, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, succeeded = holdings.running_job(), holdings.running_job()
    holdings.checkpoint(failed)
    holdings.fail(failed)
    holdings.succeed(succeeded)
    holdings.stored_upload()
    everything = collect()
    assert (everything.jobs, everything.uploads, everything.deleted) == ((), (), ())
    # A second is the shortest that can be set.
    monkeypatch.setattr("worker.garbage._AT_ONCE", 1)
    wait = threading.Event()
    wait.wait(1.1)
    collected = collect(keep_jobs_seconds=1, keep_unused_uploads_seconds=1)
    assert len(collected.jobs) == 2
    assert len(collected.uploads) == 1
    assert len(collected.deleted) == 4
    assert _keys(holdings.objects) == set()


@both_databases
def test_round_forgets_closed_uploads_and_gone_workers_after_a_week(
    holdings: Holdings, collect: Collect, session_factory: SessionFactory
) -> None:
    closed, _ = holdings.pending_upload()
    holdings.abandon(closed)
    with transaction(session_factory) as session:
        workers.seen(session, name="gone", device="cpu", capacity=Capacity("cpu", 1, None))
    for days, expected in ((6, ()), (8, ("gone", closed))):
        with transaction(session_factory) as session:
            past = now(session) - timedelta(days=days)
            session.execute(update(Upload).values(expires_at=past))
            session.execute(update(Worker).values(last_seen_at=past))
        for is_dry_run in (True, False):
            collected = collect(is_dry_run=is_dry_run)
            assert (*collected.workers, *collected.closed_uploads) == expected


@both_databases
def test_dry_run_tells_and_changes_nothing(
    holdings: Holdings, collect: Collect, session_factory: SessionFactory
) -> None:
    orphan = blob_key("e" * 64)
    holdings.objects.put_bytes(orphan, b"nobody's")
    holdings.succeed(holdings.running_job())
    threading.Event().wait(1.1)
    before = _keys(holdings.objects), _referred(session_factory)
    for _ in range(2):
        told = collect(is_dry_run=True, keep_artifacts_seconds=1)
        assert len(told.artifacts_of) == 1
        assert told.condemned == (orphan,)
    assert (_keys(holdings.objects), _referred(session_factory)) == before


def test_round_ends_early_when_its_worker_stops(
    holdings: Holdings,
    session_factory: SessionFactory,
    object_store: ObjectStore,
    settings: Settings,
) -> None:
    holdings.objects.put_bytes(blob_key("e" * 64), b"nobody's")
    collector = Collector(session_factory, object_store, settings, lambda: True)
    assert collector.collect().condemned == ()


@both_databases
def test_uploads_of_content_that_is_swept_meanwhile_keep_their_objects(
    holdings: Holdings, collect: Collect, session_factory: SessionFactory
) -> None:
    """The same few files are stored and given up again and again while rounds follow rounds."""
    stop = threading.Event()
    errors: list[BaseException] = []
    contents = [b"one", b"two", b"three"]
    workspace_id = holdings.workspace_id

    def upload_and_give_up() -> None:
        chosen = itertools.cycle(contents)
        while not stop.is_set():
            try:
                upload_id = _upload_like_the_api(holdings, workspace_id, next(chosen))
                with reading(session_factory) as session:
                    key = session.get_one(Upload, upload_id).object_key
                assert key is not None
                assert holdings.objects.exists(key)
                with transaction(session_factory) as session:
                    session.delete(session.get_one(Upload, upload_id))
            except BaseException as error:  # noqa: BLE001  # a thread's error must reach the test
                errors.append(error)
                return

    threads = [threading.Thread(target=upload_and_give_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    deleted = 0
    for _ in range(12):
        deleted += len(collect().deleted)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert deleted > 0
    for content in contents:
        kept_id = _upload_like_the_api(holdings, workspace_id, content)
        collect()
        with reading(session_factory) as session:
            key = session.get_one(Upload, kept_id).object_key
        assert holdings.objects.get_bytes(key or "") == content


def _upload_like_the_api(holdings: Holdings, workspace_id: str, data: bytes) -> str:
    """Store content as `api.uploads.service` does: an object that is there is not written again."""
    upload_id, _ = holdings.pending_upload(data)
    digest = digest_of(data)
    while True:
        with reading(holdings.session_factory) as session:
            key = condemned.storable_key(session, blob_key(digest))
        if not holdings.objects.exists(key):
            holdings.objects.put_bytes(key, data)
        assembly = Assembly(upload_id, workspace_id, len(data), digest, ())
        try:
            with transaction(holdings.session_factory) as session:
                uploads.mark_stored(session, assembly, StoredBlob(key, digest, len(data)))
        except ObjectCondemned:
            continue
        return upload_id


_STEPS = st.lists(
    st.sampled_from(["upload", "model", "dataset", "fail", "succeed", "pupil", "forget", "round"]),
    min_size=3,
    max_size=25,
)


@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_STEPS)
def test_whatever_happens_every_object_that_a_row_names_is_there(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    (folder / "potstill.sqlite3").write_bytes(migrated_sqlite.read_bytes())
    chosen = Settings(environment="test", data_dir=folder, orphan_grace_seconds=0)
    engine = make_engine(chosen.database)
    session_factory = make_session_factory(engine)
    holdings = Holdings(session_factory, ObjectStore.from_url(chosen.objects))
    collector = Collector(session_factory, holdings.objects, chosen, lambda: False)
    ended: list[str] = []
    for number, step in enumerate(steps):
        _do(step, number, holdings, ended, collector)
        assert _referred(session_factory) <= _keys(holdings.objects)
    collector.collect()
    needed = _referred(session_factory)
    assert needed == {key for key in _keys(holdings.objects) if not key.startswith("uploads/")}
    engine.dispose()


def _do(step: str, number: int, holdings: Holdings, ended: list[str], collector: Collector) -> None:
    # Of three contents, so that some come back after they were given up.
    data = f"content {number % 3}".encode()
    match step:
        case "upload":
            _upload_like_the_api(holdings, holdings.workspace_id, data)
        case "model":
            upload_id = _upload_like_the_api(holdings, holdings.workspace_id, data)
            holdings.model(upload_id, f"weights {number}".encode())
        case "dataset":
            holdings.dataset(name=f"dataset {number}")
        case "fail":
            fence = holdings.running_job()
            holdings.checkpoint(fence)
            holdings.put_checkpoint(fence, total_steps=9)
            holdings.fail(fence)
        case "succeed":
            fence = holdings.running_job()
            holdings.succeed(fence)
            ended.append(fence.job_id)
        case "pupil" if ended:
            holdings.model_of_job(ended[-1])
            ended.clear()
        case "forget":
            _forget_everything(holdings.session_factory)
            ended.clear()
        case _:
            collector.collect()


def _forget_everything(session_factory: SessionFactory) -> None:
    for forget in (
        retention.forget_checkpoints,
        retention.forget_artifacts,
        retention.forget_jobs,
        retention.forget_unused_uploads,
    ):
        with transaction(session_factory) as session:
            forget(session, older_than_seconds=-1.0, limit=100)
