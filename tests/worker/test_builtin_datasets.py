"""Jobs on a built-in dataset work on a fresh installation, whoever makes it."""

import threading
from collections.abc import Callable

import pytest

from kdstore import datasets, validation
from kdstore.db import SessionFactory, transaction
from kdstore.objects import go_on
from kdstore.queue import VALIDATE_DATASET
from tests.worker.jobs_on_digits import JobBook, open_book, small_job, wait_until
from tests.worker.worker_in_process import Outbox
from worker.builtin_datasets import BuiltinNotMade, ensure_ready, request_builtins
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


@pytest.fixture
def digits_that_another_worker_makes(session_factory: SessionFactory) -> None:
    """The digits are not there yet, and this worker cannot make them."""
    with transaction(session_factory) as session:
        datasets.ensure_builtin(session, "digits")
        assert validation.claim(session, "dataset", "digits", lease_seconds=3600.0)


@pytest.mark.usefixtures("digits_that_another_worker_makes")
class TestNotThereYet:
    def test_worker_that_stops_hands_the_job_back(
        self,
        runtime: Runtime,
        session_factory: SessionFactory,
        start_attempt: Callable[[Runtime], threading.Thread],
    ) -> None:
        book = open_book(session_factory)
        job_id = book.create(small_job())
        attempt = start_attempt(runtime)
        wait_until(lambda: book.read(job_id).status == "running")
        runtime.stopping.set()
        attempt.join()
        assert (book.read(job_id).status, book.read(job_id).failures) == ("queued", 0)
        assert book.exit_causes(job_id) == ["handed_back"]

    def test_job_that_is_paused_can_go_on_later(
        self,
        runtime: Runtime,
        session_factory: SessionFactory,
        start_attempt: Callable[[Runtime], threading.Thread],
    ) -> None:
        book = open_book(session_factory)
        job_id = book.create(small_job())
        attempt = start_attempt(runtime)
        wait_until(lambda: book.read(job_id).status == "running")
        book.pause(job_id)
        attempt.join()
        assert (book.read(job_id).status, book.read(job_id).error_code) == ("paused", None)

    def test_waiting_for_too_long_is_the_systems_fault(self, runtime: Runtime) -> None:
        with pytest.raises(BuiltinNotMade) as raised:
            ensure_ready(runtime, "digits", check=go_on, max_seconds=0.1)
        assert (raised.value.dataset, raised.value.fault) == ("digits", "system")
