"""Whatever bytes are on their way, a request to stop is heard, and no failure is counted."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kdstore.db import SessionFactory
from kdstore.objects import ObjectStore
from kdstore.queue import VALIDATE_MODEL
from tests.worker.jobs_on_digits import LONG_JOB, JobBook, open_book, small_job, wait_until
from tests.worker.strangers import Strangers
from tests.worker.test_faults import StorageOutage
from tests.worker.worker_in_process import Outbox
from worker.file_locks import file_lock
from worker.ingest import validate
from worker.runtime import Runtime

StartAttempt = Callable[[Runtime], threading.Thread]
Ask = Callable[[JobBook, Runtime, str], None]


def _cancel(book: JobBook, _runtime: Runtime, job_id: str) -> None:
    book.cancel(job_id)


def _pause(book: JobBook, _runtime: Runtime, job_id: str) -> None:
    book.pause(job_id)


def _shut_down(_book: JobBook, runtime: Runtime, _job_id: str) -> None:
    runtime.stopping.set()


@contextmanager
def others_fetch_everything(runtime: Runtime, objects: ObjectStore) -> Iterator[None]:
    """Hold the locks of all inputs, as workers of the same machine do that fetch them."""
    locks = runtime.settings.data_dir / "cache-locks"
    keys = list(objects.list_keys("datasets"))
    assert keys
    with ExitStack() as stack:
        for key in keys:
            stack.enter_context(file_lock(locks / Path(key).name, patience_seconds=600.0))
        yield


@pytest.mark.parametrize(
    ("ask", "status", "cause"),
    [
        (_cancel, "cancelled", "cancelled"),
        (_pause, "paused", "paused"),
        (_shut_down, "queued", "handed_back"),
    ],
)
def test_attempt_that_waits_for_its_inputs_stops_at_once(
    runtime: Runtime,
    book: JobBook,
    object_store: ObjectStore,
    start_attempt: StartAttempt,
    ask: Ask,
    status: str,
    cause: str,
) -> None:
    job_id = book.create(small_job())
    with others_fetch_everything(runtime, object_store):
        attempt = start_attempt(runtime)
        wait_until(lambda: book.read(job_id).status == "running")
        ask(book, runtime, job_id)
        attempt.join(20.0)
        assert not attempt.is_alive()
    job = book.read(job_id)
    assert (job.status, job.failures) == (status, 0)
    assert book.exit_causes(job_id) == [cause]


@pytest.mark.parametrize(
    ("ask", "status"),
    [(_cancel, "cancelled"), (_pause, "paused")],
)
def test_attempt_that_cannot_deliver_stops_when_a_person_asks(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt, ask: Ask, status: str
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    wait_until(lambda: book.has(job_id, "checkpoint_stored"))
    outage = StorageOutage(runtime.objects)
    outage.begin()
    wait_until(lambda: book.read(job_id).stage == "uploading")
    ask(book, runtime, job_id)
    attempt.join(20.0)
    outage.end()
    assert not attempt.is_alive()
    assert (book.read(job_id).status, book.read(job_id).failures) == (status, 0)
    assert book.exit_causes(job_id) == [status]
    assert list(runtime.objects.list_keys(f"jobs/{job_id}/artifacts")) == []


def test_validation_whose_file_cannot_be_fetched_is_handed_back_at_a_shutdown(
    runtime: Runtime, session_factory: SessionFactory, object_store: ObjectStore, outbox: Outbox
) -> None:
    workspace_id = open_book(session_factory).workspace_id
    strangers = Strangers(session_factory, object_store, workspace_id)
    model_id = strangers.model(b"weights")
    outage = StorageOutage(object_store)
    outage.begin()
    runtime.stopping.set()
    validate(runtime, "model", model_id)
    outage.end()
    model = strangers.read_model(model_id)
    assert (model.status, model.lease_expires_at) == ("validating", None)
    assert outbox.sent == [(VALIDATE_MODEL, model_id)]
