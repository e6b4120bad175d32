"""Checkpoints that are damaged, and jobs that are killed again and again, change no byte."""

import signal
from collections.abc import Callable
from typing import ClassVar

import obstore
import pytest

from tests.faults.disturbing import Record, check_equal, check_no_orphans
from tests.faults.phases import MidStep
from tests.faults.programs import is_gone
from tests.faults.site import JOB, Site, Trained, Worker
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.faults

_NUM_KILLS = 10
_KILLS_OF_WORKERS = {3, 7}

Damage = Callable[[bytes], bytes | None]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _gone(_data: bytes) -> None:
    return None


def _damage(site: Site, object_key: str, damage: Damage) -> None:
    bucket, path = site.backends.s3.bucket(), f"objects/{object_key}"
    damaged = damage(bytes(obstore.get(bucket, path).bytes()))
    if damaged is None:
        obstore.delete(bucket, path)
    else:
        obstore.put(bucket, path, damaged)


class TwoCheckpoints(MidStep):
    """While the first network is trained, when a checkpoint and one before it are stored."""

    num_stored: ClassVar[int] = 2


@pytest.mark.parametrize("num_damaged", [1, 2])
@pytest.mark.parametrize("damage", [_flipped, _cut, _gone])
def test_damaged_checkpoint_is_passed_over_for_the_one_before_or_the_start(
    site: Site,
    worker: Worker,
    undisturbed: Trained,
    record: Record,
    damage: Damage,
    num_damaged: int,
) -> None:
    which = "newest checkpoint" if num_damaged == 1 else "both checkpoints"
    fault = f"{which} {damage.__name__.removeprefix('_')}"
    record(fault, TwoCheckpoints.name, "")
    phase = TwoCheckpoints(site, worker)
    job_id = phase.enter()
    newest, before = site.book.checkpoints(job_id)
    for checkpoint in (newest, before)[:num_damaged]:
        _damage(site, checkpoint.object_key, damage)
    worker.send_trainers(signal.SIGKILL)
    assert site.wait_until_settled(job_id) == "succeeded"
    steps = [resumed.step for resumed in site.book.resumptions(job_id)]
    assert steps == [before.step if num_damaged == 1 else 0]
    assert site.book.exit_causes(job_id) == ["killed", "finished"]
    check_equal(site, job_id, undisturbed)
    record(fault, phase.name, f"succeeded (killed, finished), went on from step {steps[0]}")


def test_job_killed_ten_times_ends_bit_for_bit_the_same(
    site: Site, worker: Worker, record: Record
) -> None:
    record("ten SIGKILLs", "mid-step", "")
    long = {"training": {**JOB["training"], "num_epochs": 40}, "limits": {"max_attempts": 20}}
    undisturbed_id = site.submit(**long)
    assert site.wait_until_settled(undisturbed_id) == "succeeded"
    job_id = site.submit(**long)
    for number in range(_NUM_KILLS):
        _wait_for_progress(site, job_id, attempt=number + 1)
        children = worker.trainers()
        if number in _KILLS_OF_WORKERS:
            site.remove_worker(worker)
            worker = site.start_worker()
        else:
            worker.send_trainers(signal.SIGKILL)
        wait_until(lambda: all(map(is_gone, children)), "the children are gone")  # noqa: B023
    assert site.wait_until_settled(job_id) == "succeeded"
    causes = site.book.exit_causes(job_id)
    killed = ["lost" if number in _KILLS_OF_WORKERS else "killed" for number in range(_NUM_KILLS)]
    assert causes == [*killed, "finished"]
    check_equal(site, job_id, site.trained(undisturbed_id))
    check_no_orphans(site)
    record("ten SIGKILLs", "mid-step", f"succeeded ({', '.join(map(str, causes))})")


def _wait_for_progress(site: Site, job_id: str, *, attempt: int) -> None:
    """Wait until an attempt has stored a checkpoint of its own."""

    def has_stored() -> bool:
        newest = site.book.checkpoints(job_id)[:1]
        return bool(newest) and newest[0].attempt_number == attempt

    wait_until(has_stored, f"attempt {attempt} at {job_id} has stored a checkpoint")
