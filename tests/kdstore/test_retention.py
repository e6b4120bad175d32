"""What is old goes by policy; what a model or a job at work refers to stays."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from kdstore import retention, uploads, workers
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.tables import (
    Artifact,
    Base,
    Checkpoint,
    Event,
    Job,
    JobReport,
    Upload,
    UploadPart,
    Worker,
)
from tests.kdstore.holdings import Holdings

DAY_SECONDS = 86_400.0

Forgotten = Callable[..., list[str]]


@pytest.fixture
def forget(session_factory: SessionFactory) -> Forgotten:
    """Call it to forget what is older than a day."""

    def forget(function: retention.Forget, *, limit: int = 10) -> list[str]:
        with transaction(session_factory) as session:
            return function(session, older_than_seconds=DAY_SECONDS, limit=limit)

    return forget


@pytest.fixture
def age(session_factory: SessionFactory) -> Callable[[], None]:
    """Call it to make everything that is there two days old."""

    def age() -> None:
        with transaction(session_factory) as session:
            past = now(session) - timedelta(days=2)
            session.execute(update(Job).values(updated_at=past))
            session.execute(update(Upload).values(stored_at=past, expires_at=past))
            session.execute(update(Worker).values(last_seen_at=past))

    return age


def _count(session_factory: SessionFactory, table: type[Base]) -> int:
    with reading(session_factory) as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def test_checkpoints_of_jobs_that_stand_still_are_forgotten(
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    failed, running = holdings.running_job(), holdings.running_job()
    for fence in (failed, running):
        holdings.checkpoint(fence)
    holdings.fail(failed)
    assert forget(retention.forget_checkpoints) == []
    age()
    assert forget(retention.forget_checkpoints) == [failed.job_id]
    assert forget(retention.forget_checkpoints) == []
    with reading(session_factory) as session:
        assert session.scalars(select(Checkpoint.job_id)).all() == [running.job_id]


def test_files_of_ended_jobs_are_forgotten_and_their_reports_stay(
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    fence = holdings.running_job()
    holdings.succeed(fence)
    age()
    assert forget(retention.forget_artifacts) == [fence.job_id]
    assert _count(session_factory, Artifact) == 0
    assert _count(session_factory, JobReport) == 1


@pytest.mark.parametrize("function", [retention.forget_artifacts, retention.forget_jobs])
def test_job_that_a_model_was_made_of_keeps_everything(
    function: retention.Forget,
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    fence = holdings.running_job()
    holdings.succeed(fence)
    holdings.model_of_job(fence.job_id)
    age()
    assert forget(function) == []
    assert _count(session_factory, Artifact) == 2


def test_history_of_ended_jobs_is_forgotten(
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    ended, running = holdings.running_job(), holdings.running_job()
    holdings.succeed(ended)
    age()
    assert forget(retention.forget_history) == [ended.job_id]
    assert forget(retention.forget_history) == []
    with reading(session_factory) as session:
        assert set(session.scalars(select(Event.job_id))) == {running.job_id}


def test_ended_jobs_are_forgotten_with_all_that_is_theirs(
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    ended = [holdings.running_job() for _ in range(3)]
    holdings.checkpoint(ended[0])
    holdings.fail(ended[0])
    for fence in ended[1:]:
        holdings.succeed(fence)
    holdings.running_job()
    age()
    forgotten = forget(retention.forget_jobs, limit=2) + forget(retention.forget_jobs)
    assert sorted(forgotten) == sorted(fence.job_id for fence in ended)
    assert _count(session_factory, Job) == 1
    for table in (Artifact, Checkpoint, JobReport):
        assert _count(session_factory, table) == 0


def test_every_table_of_jobs_goes_with_its_job() -> None:
    of_jobs = {table.name for table in Base.metadata.tables.values() if "job_id" in table.c}
    assert of_jobs == {table.__tablename__ for table in retention.OF_JOBS}


def test_uploads_that_nothing_was_made_of_are_forgotten(
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    unused, _ = holdings.stored_upload(b"unused")
    used, _ = holdings.stored_upload(b"used")
    holdings.model(used)
    holdings.dataset()
    assert forget(retention.forget_unused_uploads) == []
    age()
    assert forget(retention.forget_unused_uploads) == [unused]
    assert _count(session_factory, Upload) == 2


def test_closed_uploads_are_forgotten_with_the_rows_of_their_parts(
    holdings: Holdings,
    forget: Forgotten,
    age: Callable[[], None],
    session_factory: SessionFactory,
) -> None:
    expired, _ = holdings.pending_upload()
    age()
    with transaction(session_factory) as session:
        assert uploads.sweep_expired(session) == (expired,)
    abandoned, _ = holdings.pending_upload()
    holdings.abandon(abandoned)
    stored, _ = holdings.stored_upload()
    assert forget(retention.forget_closed_uploads) == [expired]
    age()
    pending, _ = holdings.pending_upload()
    assert forget(retention.forget_closed_uploads) == [abandoned]
    assert forget(retention.forget_closed_uploads) == []
    with reading(session_factory) as session:
        assert set(session.scalars(select(Upload.id))) == {stored, pending}
        assert session.scalars(select(UploadPart.upload_id)).all() == [pending]


def test_upload_that_waits_for_its_parts_is_not_forgotten(
    holdings: Holdings, forget: Forgotten, age: Callable[[], None]
) -> None:
    holdings.pending_upload()
    age()
    assert forget(retention.forget_closed_uploads) == []


def test_workers_that_are_gone_are_forgotten_a_few_at_a_time(
    forget: Forgotten, age: Callable[[], None], session_factory: SessionFactory
) -> None:
    def see(name: str) -> None:
        with transaction(session_factory) as session:
            workers.seen(session, name=name, device="cpu", capacity=Capacity("cpu", 1, None))

    for name in ("w0", "w1", "w2"):
        see(name)
    assert forget(retention.forget_workers) == []
    age()
    see("w1")
    gone = forget(retention.forget_workers, limit=1) + forget(retention.forget_workers, limit=1)
    assert sorted(gone) == ["w0", "w2"]
    with reading(session_factory) as session:
        assert session.scalars(select(Worker.name)).all() == ["w1"]
