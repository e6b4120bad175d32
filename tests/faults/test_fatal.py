"""Faults that end a job, or one attempt at it: with the true cause, and the worker lives."""

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdstore.jobs import ExitCause
from tests.faults.disturbing import Record, check_equal, check_no_orphans
from tests.faults.phases import CheckpointWrite, Claim, Export, MidStep, Phase, Preparing
from tests.faults.site import JOB, Site, Trained, Worker
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.faults

_MEBIBYTE = 2**20
_DISK_BYTES = 48 * _MEBIBYTE
# The rate rises by 100 in a thousand epochs, of which a few are survived.
_RISING_TO_DIVERGENCE = {
    "num_epochs": 1000,
    "optimizer": {"name": "sgd", "learning_rate": 100.0},
    "schedule": {"name": "constant", "warmup_epochs": 1000},
}
_CGROUP = Path("/sys/fs/cgroup/memory")


def check_failed(site: Site, job_id: str, cause: ExitCause, *, num_attempts: int) -> None:
    """Check that a job has failed so often for this cause, and no process is left of it."""
    assert site.wait_until_settled(job_id) == "failed"
    assert site.book.read(job_id).error_code == cause
    assert site.book.exit_causes(job_id) == [cause] * num_attempts
    assert site.book.artifacts(job_id) == []
    check_no_orphans(site)


def check_lives(site: Site, worker: Worker, undisturbed: Trained) -> None:
    """Check that a worker still does a job as it should."""
    assert worker.is_running
    job_id = site.submit()
    assert site.wait_until_settled(job_id) == "succeeded"
    check_equal(site, job_id, undisturbed)


@pytest.fixture
def small_disk_worker(site: Site) -> Iterator[Worker]:
    """A worker whose data folder is a file system of its own, of 48 MiB."""
    site.end_workers()
    worker = site.start_worker(small_disk_bytes=_DISK_BYTES)
    yield worker
    site.end_workers()


@contextlib.contextmanager
def full_disk(worker: Worker) -> Iterator[None]:
    """Fill the worker's disk for a while, to the last byte and to the last file."""
    filler = Path(f"/proc/{worker.pid}/root{worker.data_dir}/filler")
    filler.mkdir()
    with (filler / "data").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with contextlib.suppress(OSError):
        for number in itertools.count():
            (filler / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(filler)


@pytest.mark.parametrize(
    "phase_type", [Claim, Preparing, MidStep, CheckpointWrite, Export], ids=lambda phase: phase.name
)
def test_full_disk_fails_the_job_by_that_cause_until_there_is_room(
    site: Site,
    small_disk_worker: Worker,
    undisturbed: Trained,
    record: Record,
    phase_type: type[Phase],
) -> None:
    record("disk full", phase_type.name, "")
    phase = phase_type(site, small_disk_worker)
    job_id = phase.enter()
    with full_disk(small_disk_worker):
        phase.leave()
        check_failed(site, job_id, "disk_full", num_attempts=3)
        scratch = Path(f"/proc/{small_disk_worker.pid}/root{small_disk_worker.data_dir}/scratch")
        wait_until(lambda: not list(scratch.glob(f"*/{job_id}-*")), "its files are gone")
    site.ask(job_id, "retry")
    assert site.wait_until_settled(job_id) == "succeeded"
    check_equal(site, job_id, undisturbed)
    record("disk full", phase_type.name, "failed (disk_full x 3); retried with room: succeeded")


@pytest.fixture
def limited_worker(site: Site) -> Iterator[Worker]:
    """A worker whose trainers may take 200 MiB."""
    site.end_workers()
    yield site.start_worker(POTSTILL_TRAINING_MEMORY_BYTES=str(200 * _MEBIBYTE))
    site.end_workers()


def test_memory_limit_of_the_trainer_fails_the_job_by_that_cause(
    site: Site, limited_worker: Worker, undisturbed: Trained, record: Record
) -> None:
    record("memory limit of the trainer", "mid-step", "")
    job_id = site.submit(student={"architecture": "mlp", "hidden": [6000, 6000]})
    check_failed(site, job_id, "out_of_memory", num_attempts=1)
    check_lives(site, limited_worker, undisturbed)
    record("memory limit of the trainer", "mid-step", "failed (out_of_memory)")


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A group of processes that may take a few MiB together, beyond what they have."""
    if not os.access(_CGROUP, os.W_OK):
        pytest.skip("this machine lets nobody limit the memory of a group (cgroup v1, as root)")
    group = _CGROUP / f"potstill-faults-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(6 * _MEBIBYTE))
    yield group
    group.rmdir()


def test_trainer_killed_by_the_kernel_for_want_of_memory_is_told_so_and_tried_again(
    site: Site, worker: Worker, undisturbed: Trained, record: Record, memory_group: Path
) -> None:
    record("killed for want of memory", "preparing", "")
    wait_until(lambda: len(worker.trainers()) == 1, "the worker has a spare child")
    (spare,) = worker.trainers()
    (memory_group / "cgroup.procs").write_text(str(spare.pid))
    job_id = site.submit()
    assert site.wait_until_settled(job_id) == "succeeded"
    assert site.book.exit_causes(job_id) == ["out_of_memory", "finished"]
    check_lives(site, worker, undisturbed)
    check_equal(site, job_id, undisturbed)
    record("killed for want of memory", "preparing", "succeeded (out_of_memory, finished)")


def test_diverging_job_is_stopped_at_once_and_keeps_its_last_good_checkpoint(
    site: Site, worker: Worker, undisturbed: Trained, record: Record
) -> None:
    record("loss is not a number", "mid-step", "")
    job_id = site.submit(
        student={"architecture": "mlp", "hidden": [16], "activation": "leaky_relu"},
        training={**JOB["training"], **_RISING_TO_DIVERGENCE},
    )
    check_failed(site, job_id, "diverged", num_attempts=1)
    assert site.book.checkpoints(job_id)
    for checkpoint in site.book.checkpoints(job_id):
        assert site.stored_sha256(checkpoint.object_key) == checkpoint.sha256
    check_lives(site, worker, undisturbed)
    record("loss is not a number", "mid-step", "failed (diverged), its checkpoints kept")
