"""An idle worker takes jobs that no message tells it of; a busy one does not."""

from collections.abc import Callable

import pytest

from tests.worker.jobs_on_digits import JobBook, small_job, wait_until
from worker.runtime import Runtime
from worker.self_service import SelfService
from worker.slots import Slot
from worker.supervisor import run_next

MakeRuntime = Callable[..., Runtime]


@pytest.fixture
def impatient(make_runtime: MakeRuntime) -> Runtime:
    """A worker that gives a message a hundredth of a second to arrive."""
    return make_runtime(sweep_seconds=0.005)


def test_job_without_a_message_runs(impatient: Runtime, book: JobBook) -> None:
    job_id = book.create(small_job())
    service = SelfService(impatient, Slot(), lambda: run_next(impatient))

    def has_run() -> bool:
        service.look()
        return book.read(job_id).status == "succeeded"

    wait_until(has_run)
    assert service.join(timeout_seconds=10.0)


def test_job_whose_message_is_young_is_left_to_it(runtime: Runtime, book: JobBook) -> None:
    book.create(small_job())
    taken: list[None] = []
    service = SelfService(runtime, Slot(), lambda: taken.append(None))
    service.look()
    assert service.join(timeout_seconds=10.0)
    assert taken == []


def test_busy_worker_does_not_look(impatient: Runtime, book: JobBook) -> None:
    book.create(small_job())
    slot, taken = Slot(), list[None]()
    service = SelfService(impatient, slot, lambda: taken.append(None))
    with slot.taken():
        service.look()
    impatient.stopping.set()
    service.look()
    assert service.join(timeout_seconds=10.0)
    assert taken == []
