"""A job that two processes train together: the same contract, whatever happens to one of them."""

import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from kdcore.checkpoints import read_safetensors
from kdcore.data import load_dataset
from kdcore.progress import Metrics
from kdcore.run import run
from kdcore.spec import Resources, TrainJob
from kdstore.db import make_engine, make_session_factory
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from tests.worker.jobs_on_digits import (
    TIMEOUT_SECONDS,
    JobBook,
    Trained,
    children_of,
    is_running,
    open_book,
    put_digits,
    small_job,
    wait_until,
)
from tests.worker.worker_in_process import Outbox, build_runtime, quick
from worker.child import Child, ChildGone, ChildSpawner
from worker.messages import Failed, Message, Stopped, TrainOrder
from worker.runtime import Runtime
from worker.spare import SpareTrainer
from worker.supervisor import run_next

StartAttempt = Callable[[Runtime], threading.Thread]


def shared_by_two(job: TrainJob) -> TrainJob:
    return job.model_copy(update={"resources": Resources(num_processes=2)})


# A few hundred steps: long enough to be disturbed in the middle.
NUM_EPOCHS = 20
SHARED_JOB = shared_by_two(small_job(num_epochs=NUM_EPOCHS))
ENDLESS_JOB = shared_by_two(small_job(num_epochs=100_000))


def trainer_of(spare: SpareTrainer) -> int:
    """The process that the next attempt will train in: rank 0."""
    spare.start()
    assert spare._idle is not None
    return spare._idle.pid


def weights_of(book: JobBook, objects: ObjectStore, job_id: str) -> dict[str, torch.Tensor]:
    (weights,) = (each for each in book.artifacts(job_id) if each.name == "network.safetensors")
    path = objects.local_path(weights.object_key)
    assert path is not None
    tensors, _ = read_safetensors(Path(path))
    return tensors


@dataclass(frozen=True)
class Undisturbed:
    """What the shared job makes when nothing happens to it."""

    trained: Trained
    weights: dict[str, torch.Tensor]
    artifacts: set[str]
    log: list[str]


@pytest.fixture(scope="module")
def together(
    migrated_sqlite: Path,
    tmp_path_factory: pytest.TempPathFactory,
    digits_folder: Path,
    spawner: ChildSpawner,
    spare: SpareTrainer,
) -> Undisturbed:
    folder = tmp_path_factory.mktemp("together")
    shutil.copyfile(migrated_sqlite, folder / "potstill.sqlite3")
    settings = quick(Settings(environment="test", data_dir=folder, training_threads=1))
    engine = make_engine(settings.database)
    runtime = build_runtime(
        settings,
        session_factory=make_session_factory(engine),
        objects=ObjectStore.from_url(settings.objects),
        spawner=spawner,
        spare=spare,
        outbox=Outbox(),
    )
    put_digits(runtime.session_factory, runtime.objects, digits_folder)
    book = open_book(runtime.session_factory)
    job_id = book.create(SHARED_JOB)
    run_next(runtime)
    assert book.exit_causes(job_id) == ["finished"]
    undisturbed = Undisturbed(
        trained=book.trained(job_id),
        weights=weights_of(book, runtime.objects, job_id),
        artifacts={artifact.name for artifact in book.artifacts(job_id)},
        log=book.log(job_id),
    )
    engine.dispose()
    return undisturbed


def test_job_ends_with_what_one_process_makes_up_to_rounding(
    together: Undisturbed, digits_folder: Path, tmp_path: Path
) -> None:
    result = run(
        small_job(num_epochs=NUM_EPOCHS),
        dataset=load_dataset(digits_folder),
        folder=tmp_path,
        device="cpu",
        num_threads=1,
    )
    alone, _ = read_safetensors(tmp_path / "artifacts" / "network.safetensors")
    assert alone.keys() == together.weights.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(together.weights[name], tensor, rtol=1e-3, atol=1e-5)
    assert together.artifacts == {artifact.name for artifact in result.artifacts}
    assert any("2 processes" in line for line in together.log)


def test_after_a_rank_is_killed_the_next_attempt_ends_bit_for_bit_the_same(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt, together: Undisturbed
) -> None:
    job_id = book.create(SHARED_JOB)
    trainer = trainer_of(runtime.spare)
    attempt = start_attempt(runtime)
    wait_until(lambda: book.has(job_id, "checkpoint_stored"))
    (rank,) = children_of(trainer)
    os.kill(rank, signal.SIGKILL)
    attempt.join()
    assert not is_running(trainer)
    assert book.exit_causes(job_id) == ["killed"]
    run_next(runtime)
    assert book.exit_causes(job_id) == ["killed", "finished"]
    (resumed,) = book.resumptions(job_id)
    assert resumed.step > 0
    assert book.trained(job_id) == together.trained


def test_cancelled_job_saves_and_leaves_no_process(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt
) -> None:
    job_id = book.create(ENDLESS_JOB)
    trainer = trainer_of(runtime.spare)
    attempt = start_attempt(runtime)
    wait_until(lambda: book.has(job_id, "checkpoint_stored"))
    pids = [trainer, *children_of(trainer)]
    num_stored = book.num_stored(job_id)
    book.cancel(job_id)
    attempt.join()
    assert len(pids) == 2
    assert book.exit_causes(job_id) == ["cancelled"]
    assert book.has_stored_more(job_id, num_stored)
    wait_until(lambda: not any(is_running(pid) for pid in pids))


@pytest.fixture
def order(digits_folder: Path, tmp_path: Path) -> TrainOrder:
    return TrainOrder(
        spec=ENDLESS_JOB,
        dataset=digits_folder,
        teachers=(),
        folder=tmp_path / "run",
        device="cpu",
        num_threads=1,
        checkpoint_seconds=3600.0,
        job_id="job_1",
        attempts=(),
    )


def next_message(child: Child) -> Message:
    message = child.receive(timeout_seconds=TIMEOUT_SECONDS)
    assert message is not None
    return message


def last_word(child: Child) -> Message:
    last = next_message(child)
    while True:
        try:
            last = next_message(child)
        except ChildGone:
            return last


def test_rank_goes_with_rank_0(spare: SpareTrainer, order: TrainOrder) -> None:
    child = spare.take()
    child.order(order)
    while not isinstance(next_message(child), Metrics):
        pass
    (rank,) = children_of(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    wait_until(lambda: not is_running(rank))


def test_request_to_stop_that_comes_while_the_others_load_is_heard(
    spare: SpareTrainer, order: TrainOrder
) -> None:
    child = spare.take()
    child.order(order)
    wait_until(lambda: bool(children_of(child.pid)))
    child.terminate()
    assert last_word(child) == Stopped(step=0)
    assert child.wait() == 0


def test_gpus_that_are_not_there_are_asked_for_in_vain(
    spare: SpareTrainer, order: TrainOrder
) -> None:
    child = spare.take()
    child.order(order.model_copy(update={"device": "cuda:0"}))
    last = last_word(child)
    child.wait()
    assert isinstance(last, Failed)
    assert (last.code, last.fault, last.pointer) == (
        "too_few_gpus",
        "user",
        "/resources/num_processes",
    )
