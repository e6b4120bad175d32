"""A job that two processes train together: the same contract, whatever happens to one of them."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdcore.checkpoints import read_safetensors
from kdcore.spec import Resources, TrainJob
from kdstore.objects import ObjectStore
from tests.worker.jobs_on_digits import JobBook, Trained, is_running, small_job, wait_until
from worker.runtime import Runtime
from worker.spare import SpareTrainer
from worker.supervisor import run_attempt

StartAttempt = Callable[[Runtime, str], threading.Thread]


def shared_by_two(job: TrainJob) -> TrainJob:
    return job.model_copy(update={"resources": Resources(num_processes=2)})


# A few hundred steps: long enough to be disturbed in the middle.
SHARED_JOB = shared_by_two(small_job(num_epochs=40))


def trainer_of(spare: SpareTrainer) -> int:
    """The process that the next attempt will train in: rank 0."""
    spare.start()
    assert spare._idle is not None
    return spare._idle.pid


def ranks_of(trainer: int) -> list[int]:
    """The other ranks' processes."""
    try:
        children = Path(f"/proc/{trainer}/task/{trainer}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(pid) for pid in children.split()]


def weights_of(book: JobBook, objects: ObjectStore, job_id: str) -> dict[str, torch.Tensor]:
    (weights,) = (each for each in book.artifacts(job_id) if each.name == "network.safetensors")
    path = objects.local_path(weights.object_key)
    assert path is not None
    tensors, _ = read_safetensors(Path(path))
    return tensors


@pytest.fixture(scope="module")
def together() -> dict[str, Trained]:
    """What the undisturbed job has made, once it has run."""
    return {}


class TestUndisturbed:
    def test_ends_with_the_weights_of_one_process_up_to_rounding(
        self, runtime: Runtime, book: JobBook
    ) -> None:
        alone, shared = book.create(small_job()), book.create(shared_by_two(small_job()))
        run_attempt(runtime, alone)
        run_attempt(runtime, shared)
        assert book.exit_causes(shared) == ["finished"]
        one = weights_of(book, runtime.objects, alone)
        two = weights_of(book, runtime.objects, shared)
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
        names = {artifact.name for artifact in book.artifacts(shared)}
        assert names == {artifact.name for artifact in book.artifacts(alone)}
        assert any("2 processes" in line for line in book.log(shared))


class TestLostRank:
    @pytest.mark.parametrize("lost", [0, 1])
    def test_next_attempt_goes_on_and_ends_bit_for_bit_the_same(
        self,
        lost: int,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        together: dict[str, Trained],
    ) -> None:
        if not together:
            undisturbed = book.create(SHARED_JOB)
            run_attempt(runtime, undisturbed)
            together["undisturbed"] = book.trained(undisturbed)
        job_id = book.create(SHARED_JOB)
        trainer = trainer_of(runtime.spare)
        attempt = start_attempt(runtime, job_id)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        pids = [trainer, *ranks_of(trainer)]
        assert len(pids) == 2
        os.kill(pids[lost], signal.SIGKILL)
        attempt.join()
        wait_until(lambda: not any(is_running(pid) for pid in pids))
        assert book.exit_causes(job_id) == ["killed"]
        run_attempt(runtime, job_id)
        assert book.exit_causes(job_id) == ["killed", "finished"]
        (resumed,) = book.resumptions(job_id)
        assert resumed.step > 0
        assert book.trained(job_id) == together["undisturbed"]


def test_cancelled_job_stops_both_at_one_step_and_leaves_no_process(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt
) -> None:
    job_id = book.create(shared_by_two(small_job(num_epochs=100_000)))
    trainer = trainer_of(runtime.spare)
    attempt = start_attempt(runtime, job_id)
    wait_until(lambda: book.has(job_id, "checkpoint_stored"))
    pids = [trainer, *ranks_of(trainer)]
    num_stored = book.num_stored(job_id)
    book.cancel(job_id)
    attempt.join()
    assert book.read(job_id).status == "cancelled"
    assert book.exit_causes(job_id) == ["cancelled"]
    assert book.has_stored_more(job_id, num_stored)
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_job_cancelled_while_the_others_load_ends_at_once(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt
) -> None:
    job_id = book.create(SHARED_JOB)
    trainer = trainer_of(runtime.spare)
    attempt = start_attempt(runtime, job_id)
    wait_until(lambda: bool(ranks_of(trainer)))
    (rank,) = ranks_of(trainer)
    book.cancel(job_id)
    attempt.join()
    assert book.exit_causes(job_id) == ["cancelled"]
    wait_until(lambda: not is_running(rank))
