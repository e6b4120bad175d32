"""PostgreSQL and S3 go away for longer than a lease while a job trains: nothing is lost."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from deploy.servers import PostgresServer, S3Server
from kdstore.objects import ObjectStore
from tests.worker.jobs_on_digits import (
    LONG_JOB,
    JobBook,
    Trained,
    next_trainer_pid,
    wait_until,
)
from worker.runtime import Runtime
from worker.self_service import SelfService
from worker.slots import Slot
from worker.sweeper import run_sweeper

StartAttempt = Callable[[Runtime], threading.Thread]

_LEASE_SECONDS = 1.0
_KILLS = 5


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime]) -> Runtime:
    return make_runtime(lease_seconds=_LEASE_SECONDS)


@pytest.fixture
def other_worker(make_runtime: Callable[..., Runtime]) -> Iterator[Runtime]:
    """A worker that takes no jobs, and sweeps for those that others have lost."""
    runtime = make_runtime(lease_seconds=_LEASE_SECONDS, sweep_seconds=0.1)
    self_service = SelfService(runtime, Slot(), lambda: None)
    thread = threading.Thread(target=run_sweeper, args=(runtime, self_service))
    thread.start()
    yield runtime
    runtime.stopping.set()
    thread.join()


@pytest.mark.parametrize("how", ["stop", pytest.param("kill", marks=pytest.mark.faults)])
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_job_goes_on_while_the_database_is_away_for_longer_than_its_lease(
    runtime: Runtime,
    other_worker: Runtime,
    book: JobBook,
    start_attempt: StartAttempt,
    postgres_server: PostgresServer,
    undisturbed: Trained,
    how: str,
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    wait_until(lambda: len(book.series(job_id)) > 0)
    getattr(postgres_server, how)()
    time.sleep(3 * _LEASE_SECONDS)
    postgres_server.start()
    attempt.join()
    assert book.exit_causes(job_id) == ["finished"]
    assert book.trained(job_id) == undisturbed


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_job_goes_on_while_the_database_takes_no_writes_as_after_a_failover(
    runtime: Runtime,
    other_worker: Runtime,
    book: JobBook,
    start_attempt: StartAttempt,
    postgres_server: PostgresServer,
    undisturbed: Trained,
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    wait_until(lambda: len(book.series(job_id)) > 0)
    postgres_server.demote()
    time.sleep(3 * _LEASE_SECONDS)
    postgres_server.promote()
    attempt.join()
    assert book.exit_causes(job_id) == ["finished"]
    assert book.trained(job_id) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_job_goes_on_while_the_database_restarts_again_and_again(
    runtime: Runtime,
    other_worker: Runtime,
    book: JobBook,
    start_attempt: StartAttempt,
    postgres_server: PostgresServer,
    undisturbed: Trained,
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    num_kills = 0
    while attempt.is_alive() and num_kills < _KILLS:
        wait_until(partial(_goes_on, book, job_id, attempt, after=_points(book, job_id)))
        postgres_server.kill()
        postgres_server.start()
        num_kills += 1
    attempt.join()
    assert num_kills > 1
    assert book.exit_causes(job_id) == ["finished"]
    assert book.trained(job_id) == undisturbed


def _goes_on(book: JobBook, job_id: str, attempt: threading.Thread, *, after: int) -> bool:
    return not attempt.is_alive() or _points(book, job_id) > after


def _points(book: JobBook, job_id: str) -> int:
    return sum(len(series.steps) for series in book.series(job_id))


@pytest.mark.xdist_group("s3")
class TestStorage:
    @pytest.fixture
    def object_store(self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)
        return ObjectStore.from_url(s3_server.environment["POTSTILL_OBJECTS_URL"])

    @pytest.mark.faults
    def test_job_trains_on_s3_as_on_a_folder(
        self, runtime: Runtime, book: JobBook, start_attempt: StartAttempt, undisturbed: Trained
    ) -> None:
        job_id = book.create(LONG_JOB)
        start_attempt(runtime).join()
        assert book.trained(job_id) == undisturbed

    def test_checkpoint_is_waited_for_when_storage_is_away_as_an_attempt_begins(
        self,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        s3_server: S3Server,
        undisturbed: Trained,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        job_id = book.create(LONG_JOB)
        trainer = next_trainer_pid(runtime.spare)
        killed = start_attempt(runtime)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        os.kill(trainer, signal.SIGKILL)
        killed.join()
        s3_server.kill()
        attempt = start_attempt(runtime)  # its dataset is in the worker's cache
        wait_until(lambda: "trying again" in caplog.messages)
        s3_server.start()
        attempt.join()
        assert book.exit_causes(job_id) == ["killed", "finished"]
        assert book.resumptions(job_id)[0].step > 0
        assert book.trained(job_id) == undisturbed

    @pytest.mark.faults
    @pytest.mark.parametrize("how", ["kill", "freeze"])
    def test_storage_that_is_away_while_a_job_trains_and_ends_is_waited_for(
        self,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        s3_server: S3Server,
        undisturbed: Trained,
        how: str,
    ) -> None:
        job_id = book.create(LONG_JOB)
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.series(job_id)) > 0)
        getattr(s3_server, how)()
        wait_until(lambda: book.read(job_id).stage == "uploading")
        s3_server.thaw()
        s3_server.start()
        attempt.join()
        assert book.exit_causes(job_id) == ["finished"]
        assert book.trained(job_id) == undisturbed
