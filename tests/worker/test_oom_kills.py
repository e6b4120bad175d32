"""Want of memory is told as what it is, by a limit or by the kernel that killed the child."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kdcore.spec import Mlp, Resources, TrainJob
from kdstore import jobs
from kdstore.db import transaction
from tests.worker.jobs_on_digits import JobBook, small_job
from worker.oom_kills import count_oom_kills
from worker.orders import make_order
from worker.runtime import Runtime
from worker.supervisor import run_next


def test_kills_are_counted_where_the_system_tells(tmp_path: Path) -> None:
    told = tmp_path / "vmstat"
    told.write_text("nr_free_pages 12\noom_kill 3\nswap_ra 0\n")
    assert count_oom_kills(told) == 3
    told.write_text("nr_free_pages 12\n")
    assert count_oom_kills(told) is None
    assert count_oom_kills(tmp_path / "nowhere") is None


def test_job_beyond_the_limit_of_its_process_fails_as_out_of_memory_and_the_worker_lives(
    make_runtime: Callable[..., Runtime], book: JobBook
) -> None:
    runtime = make_runtime(training_memory_bytes=100 * 2**20)
    large = TrainJob(dataset="digits", network=Mlp(hidden=(6000, 6000)))
    job_id = book.create(large)
    run_next(runtime)
    job = book.read(job_id)
    assert (job.status, job.error_code, job.error_fault) == ("failed", "out_of_memory", "user")
    next_id = book.create(small_job())
    run_next(runtime)
    assert book.read(next_id).status == "succeeded"


@pytest.mark.parametrize("num_processes", [1, 2])
def test_limit_is_for_all_processes_of_a_job_together(
    make_runtime: Callable[..., Runtime], book: JobBook, tmp_path: Path, num_processes: int
) -> None:
    runtime = make_runtime(training_memory_bytes=100 * 2**20)
    shared = Resources(num_processes=num_processes)
    spec = small_job().model_copy(update={"resources": shared})
    job_id = book.create(spec)
    with transaction(runtime.session_factory) as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=3600.0)
    assert claim is not None
    order = make_order(runtime, claim, spec, folder=tmp_path)
    assert order.memory_bytes == 100 * 2**20 // num_processes
