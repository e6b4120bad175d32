"""Leases go by the database's clock: a worker whose own is wrong loses no job and takes none."""

import importlib.util
import signal
import time
from pathlib import Path

import pytest

from tests.faults.disturbing import Record, check_equal, check_no_orphans
from tests.faults.phases import MidStep
from tests.faults.site import LEASE_SECONDS, Site, Trained, Worker

pytestmark = pytest.mark.faults

# Many leases, and yet less than the quarter of an hour that S3 allows between its clock and ours.
_SHIFT = "600s"


def _start_with_clock(site: Site, shift: str) -> Worker:
    """Start a worker whose clock, but not its sense of how time passes, is wrong."""
    return site.start_worker(
        LD_PRELOAD=str(_library()), FAKETIME=shift, FAKETIME_DONT_FAKE_MONOTONIC="1"
    )


def _library() -> Path:
    spec = importlib.util.find_spec("libfaketime")
    assert spec is not None
    assert spec.origin is not None
    (library,) = Path(spec.origin).parent.rglob("libfaketime.so.1")
    return library


@pytest.mark.parametrize(("own", "others"), [("+", "-"), ("-", "+")], ids=["ahead", "behind"])
def test_worker_with_a_wrong_clock_keeps_its_lease_and_no_longer(
    site: Site, undisturbed: Trained, record: Record, own: str, others: str
) -> None:
    fault = f"clocks of two workers {own}{_SHIFT} and {others}{_SHIFT}"
    record(fault, "mid-step", "")
    site.end_workers()
    worker = _start_with_clock(site, f"{own}{_SHIFT}")
    phase = MidStep(site, worker)
    job_id = phase.enter()
    other = _start_with_clock(site, f"{others}{_SHIFT}")
    time.sleep(LEASE_SECONDS + 2.0)
    assert site.book.exit_causes(job_id) == [None]
    worker.send(signal.SIGKILL)
    assert site.wait_until_settled(job_id) == "succeeded"
    assert site.book.exit_causes(job_id) == ["lost", "finished"]
    site.remove_worker(worker)
    assert other.is_running
    check_equal(site, job_id, undisturbed)
    check_no_orphans(site)
    record(fault, "mid-step", "succeeded (lost, finished): lost only when killed")
