"""Jobs on a built-in dataset work on a fresh installation, whoever makes it."""

from kdstore.db import SessionFactory
from kdstore.queue import VALIDATE_DATASET
from tests.worker.jobs_on_digits import JobBook, open_book, small_job
from tests.worker.worker_in_process import Outbox
from worker.builtin_datasets import ensure_ready, request_builtins
from worker.runtime import Runtime
from worker.supervisor import run_next


def test_first_job_makes_the_dataset_it_needs(
    runtime: Runtime, session_factory: SessionFactory
) -> None:
    book = open_book(session_factory)
    job_id = book.create(small_job())
    run_next(runtime)
    assert book.read(job_id).status == "succeeded"


def test_worker_asks_for_what_is_not_there(runtime: Runtime, outbox: Outbox) -> None:
    request_builtins(runtime)
    assert outbox.sent == [(VALIDATE_DATASET, "digits")]


def test_worker_asks_for_nothing_that_is_ready(
    runtime: Runtime, book: JobBook, outbox: Outbox
) -> None:
    request_builtins(runtime)
    assert outbox.sent == []


def test_nothing_is_waited_for_when_the_attempt_must_stop(
    runtime: Runtime, session_factory: SessionFactory
) -> None:
    ensure_ready(runtime, "digits", should_stop=lambda: True)
    assert list(runtime.objects.list_keys("datasets")) == []
