"""What dead workers and lost messages leave is found and given to others."""

from datetime import timedelta

from sqlalchemy import update

from kdstore import jobs, workers
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.objects import ObjectStore
from kdstore.queue import TRAIN_JOB, VALIDATE_MODEL
from kdstore.tables import Job, Model
from tests.worker.jobs_on_digits import JobBook, both_databases, open_book, small_job
from tests.worker.strangers import Strangers
from tests.worker.worker_in_process import Outbox
from worker.runtime import Runtime
from worker.self_service import SelfService
from worker.slots import Slot
from worker.sweeper import be_seen, run_sweeper, sweep


@both_databases
def test_job_of_a_silent_worker_is_queued_and_published(
    runtime: Runtime, book: JobBook, outbox: Outbox, session_factory: SessionFactory
) -> None:
    job_id = book.create(small_job())
    with transaction(session_factory) as session:
        jobs.claim(session, job_id, worker="dead", device="cpu", lease_seconds=-1.0)
    sweep(runtime)
    assert book.read(job_id).status == "queued"
    assert book.exit_causes(job_id) == ["lost"]
    assert outbox.sent == [(TRAIN_JOB, job_id)]


def test_lost_message_of_a_job_is_sent_again_once(
    runtime: Runtime, book: JobBook, outbox: Outbox, session_factory: SessionFactory
) -> None:
    job_id = book.create(small_job())
    with transaction(session_factory) as session:
        long_ago = now(session) - timedelta(days=1)
        session.execute(update(Job).values(published_at=long_ago))
    sweep(runtime)
    sweep(runtime)
    assert outbox.sent == [(TRAIN_JOB, job_id)]


def test_lost_message_of_a_model_is_sent_again(
    runtime: Runtime,
    outbox: Outbox,
    session_factory: SessionFactory,
    object_store: ObjectStore,
) -> None:
    workspace_id = open_book(session_factory).workspace_id
    model_id = Strangers(session_factory, object_store, workspace_id).model(b"bytes")
    with transaction(session_factory) as session:
        long_ago = now(session) - timedelta(days=1)
        session.execute(update(Model).values(published_at=long_ago))
    sweep(runtime)
    assert outbox.sent == [(VALIDATE_MODEL, model_id)]


def test_worker_shows_itself(runtime: Runtime, session_factory: SessionFactory) -> None:
    be_seen(runtime)
    with reading(session_factory) as session:
        (seen,) = workers.read_all(session, within_seconds=60.0)
    assert (seen.name, seen.device) == (runtime.name, "cpu")


def test_sweeper_ends_with_its_worker(runtime: Runtime) -> None:
    runtime.stopping.set()
    run_sweeper(runtime, SelfService(runtime, Slot(), lambda: None))
