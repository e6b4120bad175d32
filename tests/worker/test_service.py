"""`python -m worker`: whole processes, stopped, killed and frozen in the middle of a job."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, update

from kdcore.spec import TrainJob
from kdstore import jobs
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.objects import ObjectStore
from kdstore.queue import TRAIN_JOB, VALIDATE_MODEL, make_celery, publish
from kdstore.settings import Settings
from kdstore.tables import Dataset, Job
from tests.worker.jobs_on_digits import (
    LONG_JOB,
    JobBook,
    Trained,
    both_databases,
    children_of,
    is_running,
    small_job,
    state_of,
    wait_until,
)
from tests.worker.strangers import Strangers


@dataclass
class WorkerProcess:
    """A worker as an operator starts it."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(timeout=60)

    @property
    def children(self) -> list[int]:
        """Ids of its processes that run now: its fork server, and those that train."""
        return [*children_of(self.process.pid), *self.trainers]

    @property
    def trainers(self) -> list[int]:
        """Ids of the processes that its fork server has forked."""
        return [pid for child in children_of(self.process.pid) for pid in children_of(child)]


StartWorker = Callable[..., WorkerProcess]
Submit = Callable[[TrainJob], str]


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> Iterator[StartWorker]:
    """Call it with a name to start a worker with a data folder of its own, and a short lease.

    `stop_grace` in seconds is the grace of its training processes.
    """
    started: list[WorkerProcess] = []

    def start(name: str, *, stop_grace: str = "20") -> WorkerProcess:
        environment = {
            "PATH": os.environ["PATH"],
            "POTSTILL_DATA_DIR": str(tmp_path / name),
            "POTSTILL_DATABASE_URL": settings.database,
            "POTSTILL_BROKER_URL": settings.broker,
            "POTSTILL_OBJECTS_URL": settings.objects,
            "POTSTILL_DEVICE": "cpu",
            "POTSTILL_TRAINING_THREADS": "1",
            "POTSTILL_LEASE_SECONDS": "2",
            "POTSTILL_HEARTBEAT_SECONDS": "0.5",
            "POTSTILL_SWEEP_SECONDS": "0.5",
            "POTSTILL_CHECKPOINT_EVERY_SECONDS": "0.1",
            "POTSTILL_STOP_GRACE_SECONDS": stop_grace,
        }
        log = tmp_path / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker"], env=environment, stderr=file
            )
        started.append(WorkerProcess(process, log))
        wait_until(lambda: started[-1].says("worker ready"))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture
def submit(settings: Settings, book: JobBook) -> Submit:
    """Call it with a spec to create a job and send its message."""
    app = make_celery(settings)

    def submit(spec: TrainJob) -> str:
        job_id = book.create(spec)
        publish(app, TRAIN_JOB, job_id)
        return job_id

    return submit


def has_ended(book: JobBook, job_id: str) -> bool:
    return book.read(job_id).status in jobs.TERMINAL


class TestWork:
    def test_messages_are_taken_and_jobs_done_one_after_the_other(
        self, start_worker: StartWorker, submit: Submit, book: JobBook
    ) -> None:
        job_ids = [submit(small_job()) for _ in range(2)]
        start_worker("first")
        wait_until(lambda: all(has_ended(book, job_id) for job_id in job_ids))
        first, second = (book.read(job_id) for job_id in job_ids)
        assert (first.status, second.status) == ("succeeded", "succeeded")
        assert first.ended_at is not None
        assert second.started_at is not None
        assert first.ended_at <= second.started_at

    def test_job_whose_message_was_lost_is_found_by_the_sweeper(
        self, start_worker: StartWorker, book: JobBook, session_factory: SessionFactory
    ) -> None:
        job_id = book.create(small_job())
        forget_message(session_factory, job_id)
        start_worker("first")
        wait_until(lambda: has_ended(book, job_id))
        assert book.read(job_id).status == "succeeded"

    def test_builtin_dataset_is_made_unasked(
        self, start_worker: StartWorker, session_factory: SessionFactory
    ) -> None:
        start_worker("first")

        def is_ready() -> bool:
            with reading(session_factory) as session:
                digits = session.get(Dataset, "digits")
            return digits is not None and digits.status == "ready"

        wait_until(is_ready)

    def test_worker_that_cannot_train_says_so_and_ends(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "worker"],
            env={
                "PATH": os.environ["PATH"],
                "POTSTILL_DATA_DIR": str(tmp_path / "data"),
                "POTSTILL_DEVICE": "nonsense",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert "POTSTILL_DEVICE" in ended.stderr


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_idle_worker_ends_with_all_its_children(
        self, number: signal.Signals, start_worker: StartWorker
    ) -> None:
        worker = start_worker("first")
        children = worker.children
        assert worker.trainers
        worker.signal(number)
        assert worker.wait() == 0
        assert not any(is_running(pid) for pid in children)

    def test_busy_worker_hands_its_job_back_and_another_ends_it_bit_for_bit_the_same(
        self,
        start_worker: StartWorker,
        submit: Submit,
        book: JobBook,
        undisturbed: Trained,
    ) -> None:
        worker = start_worker("first")
        job_id = submit(LONG_JOB)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert book.read(job_id).status == "queued"
        start_worker("second")
        wait_until(lambda: has_ended(book, job_id))
        assert book.exit_causes(job_id) == ["handed_back", "finished"]
        assert book.trained(job_id) == undisturbed

    def test_worker_whose_threads_are_stuck_hands_back_what_they_hold(
        self,
        start_worker: StartWorker,
        submit: Submit,
        book: JobBook,
        session_factory: SessionFactory,
        object_store: ObjectStore,
        settings: Settings,
    ) -> None:
        strangers = Strangers(session_factory, object_store, book.workspace_id)
        model_id = strangers.model(b"weights")
        for key in (*object_store.list_keys("blobs"), *object_store.list_keys("datasets")):
            let_readers_hang(object_store, key)
        job_id = submit(small_job())
        publish(make_celery(settings), VALIDATE_MODEL, model_id)
        worker = start_worker("first", stop_grace="0.5")
        wait_until(lambda: book.read(job_id).status == "running")
        wait_until(lambda: strangers.read_model(model_id).lease_expires_at is not None)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        job, model = book.read(job_id), strangers.read_model(model_id)
        assert (job.status, job.failures) == ("queued", 0)
        assert book.exit_causes(job_id) == ["handed_back"]
        assert (model.status, model.lease_expires_at) == ("validating", None)


class TestDeath:
    @both_databases
    def test_killed_worker_leaves_no_child_and_another_ends_its_job_bit_for_bit_the_same(
        self,
        start_worker: StartWorker,
        submit: Submit,
        book: JobBook,
        undisturbed: Trained,
    ) -> None:
        worker = start_worker("first")
        job_id = submit(LONG_JOB)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        children = worker.children
        worker.signal(signal.SIGKILL)
        worker.wait()
        assert len(children) > 1
        wait_until(lambda: not any(is_running(pid) for pid in children))
        assert book.read(job_id).status == "running"
        start_worker("second")
        wait_until(lambda: has_ended(book, job_id))
        assert book.exit_causes(job_id) == ["lost", "finished"]
        assert book.resumptions(job_id)[0].step > 0
        assert book.trained(job_id) == undisturbed

    def test_frozen_worker_wakes_up_to_find_its_job_taken_and_its_trainer_gone(
        self,
        start_worker: StartWorker,
        submit: Submit,
        book: JobBook,
        undisturbed: Trained,
        database_url: str,
    ) -> None:
        zombie = start_worker("first")
        job_id = submit(LONG_JOB)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        trainers = zombie.trainers
        freeze_between_transactions(zombie, database_url)
        start_worker("second")
        wait_until(lambda: has_ended(book, job_id))
        zombie.signal(signal.SIGCONT)
        wait_until(lambda: zombie.says("attempt lost"))
        assert trainers
        wait_until(lambda: not any(is_running(pid) for pid in trainers))
        assert book.exit_causes(job_id) == ["lost", "finished"]
        assert book.trained(job_id) == undisturbed


def freeze_between_transactions(worker: WorkerProcess, database_url: str) -> None:
    """Stop a worker at a moment when it does not hold SQLite's one write lock.

    With the lock held nobody could write, whatever we do: that is SQLite's nature.
    """
    path = make_url(database_url).database
    assert path is not None

    def is_frozen_without_the_lock() -> bool:
        worker.signal(signal.SIGSTOP)
        wait_until(lambda: state_of(worker.process.pid) == "T")
        with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                worker.signal(signal.SIGCONT)
                return False
        return True

    wait_until(is_frozen_without_the_lock)


def let_readers_hang(objects: ObjectStore, key: str) -> None:
    """Put a pipe that nobody writes in the place of an object: whoever opens it waits for ever."""
    path = objects.local_path(key)
    assert path is not None
    path.unlink()
    os.mkfifo(path)


def forget_message(session_factory: SessionFactory, job_id: str) -> None:
    """Make it long ago that the job's message was sent: it was lost since."""
    with transaction(session_factory) as session:
        long_ago = now(session) - timedelta(days=1)
        session.execute(update(Job).where(Job.id == job_id).values(published_at=long_ago))
