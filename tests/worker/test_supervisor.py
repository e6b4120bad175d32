"""One attempt from claim to end: results, failures, requests to stop, and every kind of death."""

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import update

from kdcore.spec import Limits
from kdstore import jobs
from kdstore.db import SessionFactory, now, transaction
from kdstore.events import AttemptResumed
from kdstore.queue import TRAIN_JOB
from kdstore.tables import Job
from tests.worker.jobs_on_digits import (
    LONG_JOB,
    JobBook,
    Trained,
    both_databases,
    is_running,
    next_trainer_pid,
    parent_of,
    small_job,
    wait_until,
)
from tests.worker.worker_in_process import Outbox
from worker.runtime import Runtime
from worker.supervisor import run_next

StartAttempt = Callable[[Runtime], threading.Thread]
MakeRuntime = Callable[..., Runtime]


@both_databases
def test_job_trains_to_the_end_with_artifacts_report_and_metrics(
    runtime: Runtime, book: JobBook
) -> None:
    job_id = book.create(small_job())
    run_next(runtime)
    job = book.read(job_id)
    assert (job.status, job.error_code) == ("succeeded", None)
    assert book.exit_causes(job_id) == ["finished"]
    assert {series.name for series in book.series(job_id)} >= {"loss", "test_accuracy"}
    assert job.result is not None
    assert job.result["networks"]["network"]["splits"]["test"]["accuracy"] > 0.3
    for artifact in book.artifacts(job_id):
        assert runtime.objects.head(artifact.object_key).size_bytes == artifact.size_bytes
    names = {artifact.name for artifact in book.artifacts(job_id)}
    assert names >= {"network.safetensors", "network.json", "report.json", "manifest.json"}
    assert book.report(job_id)["kind"] == "train"
    assert any("network" in line for line in book.log(job_id))


def test_finished_job_leaves_no_checkpoint_and_no_scratch(runtime: Runtime, book: JobBook) -> None:
    job_id = book.create(small_job())
    run_next(runtime)
    assert list(runtime.objects.list_keys(f"jobs/{job_id}/checkpoints")) == []
    left = [path.name for path in runtime.scratch.folder.iterdir()]
    assert left == [".lock"]


def test_stages_are_entered_in_order(runtime: Runtime, book: JobBook) -> None:
    job_id = book.create(small_job())
    run_next(runtime)
    stages = [event.stage for event in book.events(job_id) if event.type == "stage_entered"]
    assert stages == ["preparing", "training", "evaluating", "exporting", "uploading"]


def test_second_message_of_a_running_job_starts_no_second_attempt(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    wait_until(lambda: book.has(job_id, "checkpoint_stored"))
    run_next(runtime)
    assert book.read(job_id).status == "running"
    book.cancel(job_id)
    attempt.join()
    run_next(runtime)
    assert book.exit_causes(job_id) == ["cancelled"]


def test_job_of_a_newer_release_fails_by_the_field_and_can_be_retried_by_it(
    runtime: Runtime, book: JobBook, session_factory: SessionFactory
) -> None:
    job_id = book.create(small_job())
    known = book.read(job_id).spec
    with transaction(session_factory) as session:
        newer = {**known, "a_field_to_come": 1}
        session.execute(update(Job).where(Job.id == job_id).values(spec=newer))
    run_next(runtime)
    job = book.read(job_id)
    assert (job.status, job.error_code, job.error_fault) == ("failed", "validation_failed", "user")
    assert "/a_field_to_come" in (job.error_message or "")
    with transaction(session_factory) as session:
        session.execute(update(Job).where(Job.id == job_id).values(spec=known))
        jobs.retry(session, workspace_id=book.workspace_id, job_id=job_id)
    run_next(runtime)
    assert book.read(job_id).status == "succeeded"


class TestKilledTrainer:
    @both_databases
    def test_next_attempt_goes_on_and_ends_bit_for_bit_the_same(
        self,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        outbox: Outbox,
        undisturbed: Trained,
    ) -> None:
        job_id = book.create(LONG_JOB)
        trainer = next_trainer_pid(runtime.spare)
        attempt = start_attempt(runtime)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        os.kill(trainer, signal.SIGKILL)
        attempt.join()
        assert book.exit_causes(job_id) == ["killed"]
        assert outbox.sent == [(TRAIN_JOB, job_id)]
        run_next(runtime)
        assert book.exit_causes(job_id) == ["killed", "finished"]
        (resumed,) = book.resumptions(job_id)
        assert resumed.run == "network"
        assert resumed.step > 0
        assert book.trained(job_id) == undisturbed

    def test_job_whose_fork_server_is_killed_goes_on_under_another_bit_for_bit_the_same(
        self,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        undisturbed: Trained,
    ) -> None:
        job_id = book.create(LONG_JOB)
        trainer = next_trainer_pid(runtime.spare)
        server = parent_of(trainer)
        attempt = start_attempt(runtime)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        os.kill(server, signal.SIGKILL)
        attempt.join()
        assert not is_running(trainer)
        assert parent_of(next_trainer_pid(runtime.spare)) != server
        run_next(runtime)
        assert book.exit_causes(job_id) == ["killed", "finished"]
        assert book.resumptions(job_id)[0].step > 0
        assert book.trained(job_id) == undisturbed

    @pytest.mark.slow
    def test_job_killed_again_and_again_ends_bit_for_bit_the_same(
        self, runtime: Runtime, book: JobBook, start_attempt: StartAttempt
    ) -> None:
        spec = small_job(num_epochs=200, max_attempts=100)
        calm_id, job_id = book.create(spec), book.create(spec)
        run_next(runtime)
        for _ in range(3):
            num_stored = book.num_stored(job_id)
            trainer = next_trainer_pid(runtime.spare)
            attempt = start_attempt(runtime)
            wait_until(partial(book.has_stored_more, job_id, num_stored))
            os.kill(trainer, signal.SIGKILL)
            attempt.join()
        run_next(runtime)
        assert book.exit_causes(job_id) == [*["killed"] * 3, "finished"]
        assert book.trained(job_id) == book.trained(calm_id)

    def test_job_killed_before_its_first_checkpoint_starts_anew(
        self,
        make_runtime: MakeRuntime,
        book: JobBook,
        start_attempt: StartAttempt,
        undisturbed: Trained,
    ) -> None:
        runtime = make_runtime(checkpoint_every_seconds=3600.0)
        job_id = book.create(LONG_JOB)
        trainer = next_trainer_pid(runtime.spare)
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.series(job_id)) > 0)
        os.kill(trainer, signal.SIGKILL)
        attempt.join()
        run_next(runtime)
        assert book.resumptions(job_id) == [AttemptResumed(attempt=2, run=None, step=0)]
        assert book.trained(job_id) == undisturbed

    @pytest.mark.parametrize("num_damaged", [1, 2])
    def test_damaged_checkpoint_is_passed_over_for_the_one_before_or_the_start(
        self,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        undisturbed: Trained,
        num_damaged: int,
    ) -> None:
        job_id = book.create(LONG_JOB)
        trainer = next_trainer_pid(runtime.spare)
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.checkpoints(job_id)) == 2)
        os.kill(trainer, signal.SIGKILL)
        attempt.join()
        newest, before = book.checkpoints(job_id)
        for checkpoint in (newest, before)[:num_damaged]:
            damaged = bytearray(runtime.objects.get_bytes(checkpoint.object_key))
            damaged[-1] ^= 1
            runtime.objects.put_bytes(checkpoint.object_key, bytes(damaged))
        run_next(runtime)
        (resumed,) = book.resumptions(job_id)
        assert resumed.step == (before.step if num_damaged == 1 else 0)
        assert not runtime.objects.exists(newest.object_key)
        assert book.trained(job_id) == undisturbed

    def test_job_fails_when_its_attempts_are_used_up(
        self, runtime: Runtime, book: JobBook, start_attempt: StartAttempt, outbox: Outbox
    ) -> None:
        job_id = book.create(small_job(num_epochs=100_000, max_attempts=1))
        trainer = next_trainer_pid(runtime.spare)
        attempt = start_attempt(runtime)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        os.kill(trainer, signal.SIGKILL)
        attempt.join()
        job = book.read(job_id)
        assert (job.status, job.error_code, job.error_fault) == (
            "failed",
            "trainer_killed",
            "system",
        )
        assert outbox.sent == []


class TestRequests:
    @both_databases
    def test_cancelled_job_stops_and_keeps_its_checkpoint(
        self, runtime: Runtime, book: JobBook, start_attempt: StartAttempt
    ) -> None:
        job_id = book.create(small_job(num_epochs=100_000))
        trainer = next_trainer_pid(runtime.spare)
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.series(job_id)) > 0)
        book.cancel(job_id)
        attempt.join()
        assert book.read(job_id).status == "cancelled"
        assert book.exit_causes(job_id) == ["cancelled"]
        assert not is_running(trainer)
        assert len(book.checkpoints(job_id)) > 0

    def test_paused_job_goes_on_where_it_was_and_ends_bit_for_bit_the_same(
        self,
        runtime: Runtime,
        book: JobBook,
        start_attempt: StartAttempt,
        undisturbed: Trained,
    ) -> None:
        job_id = book.create(LONG_JOB)
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.series(job_id)) > 0)
        book.pause(job_id)
        attempt.join()
        assert book.read(job_id).status == "paused"
        book.resume(job_id)
        run_next(runtime)
        assert book.exit_causes(job_id) == ["paused", "finished"]
        assert book.trained(job_id) == undisturbed

    def test_worker_that_stops_hands_its_job_back_with_a_checkpoint(
        self, runtime: Runtime, book: JobBook, start_attempt: StartAttempt, outbox: Outbox
    ) -> None:
        job_id = book.create(small_job(num_epochs=100_000))
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.series(job_id)) > 0)
        runtime.stopping.set()
        attempt.join()
        job = book.read(job_id)
        assert (job.status, job.failures) == ("queued", 0)
        assert book.exit_causes(job_id) == ["handed_back"]
        assert len(book.checkpoints(job_id)) > 0
        assert outbox.sent == [(TRAIN_JOB, job_id)]

    def test_trainer_that_does_not_stop_in_time_is_killed(
        self, make_runtime: MakeRuntime, book: JobBook, start_attempt: StartAttempt
    ) -> None:
        runtime = make_runtime(stop_grace_seconds=0.3)
        job_id = book.create(small_job(num_epochs=100_000))
        trainer = next_trainer_pid(runtime.spare)
        attempt = start_attempt(runtime)
        wait_until(lambda: len(book.series(job_id)) > 0)
        os.kill(trainer, signal.SIGSTOP)
        book.cancel(job_id)
        attempt.join()
        assert book.read(job_id).status == "cancelled"
        assert not is_running(trainer)


class TestFailures:
    def test_diverging_job_fails_at_once_by_the_users_fault(
        self, runtime: Runtime, book: JobBook, outbox: Outbox
    ) -> None:
        job_id = book.create(small_job(num_epochs=20, learning_rate=100.0, activation="leaky_relu"))
        run_next(runtime)
        job = book.read(job_id)
        assert (job.status, job.error_code, job.error_fault) == ("failed", "diverged", "user")
        assert job.error_message is not None
        assert "learning_rate" in job.error_message
        assert book.exit_causes(job_id) == ["diverged"]
        assert outbox.sent == []

    def test_missing_dataset_fails_by_the_users_fault(
        self, runtime: Runtime, book: JobBook
    ) -> None:
        job_id = book.create(small_job().model_copy(update={"dataset": "dts_gone"}))
        run_next(runtime)
        job = book.read(job_id)
        assert (job.status, job.error_code) == ("failed", "dataset_not_found")
        assert book.exit_causes(job_id) == ["user_error"]

    def test_time_limit_is_the_users_fault_and_keeps_a_checkpoint(
        self, runtime: Runtime, book: JobBook
    ) -> None:
        spec = small_job(num_epochs=100_000)
        limits = spec.limits.model_copy(update={"max_seconds": 1})
        job_id = book.create(spec.model_copy(update={"limits": limits}))
        run_next(runtime)
        job = book.read(job_id)
        assert (job.status, job.error_code) == ("failed", "time_limit_reached")
        assert book.exit_causes(job_id) == ["timed_out"]
        assert len(book.checkpoints(job_id)) > 0

    def test_job_goes_on_from_its_checkpoint_with_more_time(
        self, runtime: Runtime, book: JobBook
    ) -> None:
        spec = small_job(num_epochs=100_000)
        limits = spec.limits.model_copy(update={"max_seconds": 1})
        job_id = book.create(spec.model_copy(update={"limits": limits}))
        run_next(runtime)
        newest = book.checkpoints(job_id)[0]
        book.retry(job_id, limits=Limits(max_seconds=2))
        run_next(runtime)
        assert book.exit_causes(job_id) == ["timed_out", "timed_out"]
        assert book.resumptions(job_id)[0].step == newest.step
        assert book.checkpoints(job_id)[0].total_steps > newest.total_steps


class TestLostAttempt:
    def test_zombie_kills_its_trainer_and_writes_nothing_more(
        self,
        runtime: Runtime,
        make_runtime: MakeRuntime,
        book: JobBook,
        start_attempt: StartAttempt,
        session_factory: SessionFactory,
    ) -> None:
        job_id = book.create(small_job(num_epochs=100_000))
        trainer = next_trainer_pid(runtime.spare)
        zombie = start_attempt(runtime)
        wait_until(lambda: book.has(job_id, "checkpoint_stored"))
        lose_lease_and_claim(session_factory, job_id)
        zombie.join()
        assert not is_running(trainer)
        before = (book.series(job_id), book.events(job_id), book.log(job_id))
        assert before[1][-1].type in {"attempt_started", "attempt_resumed"}
        assert book.exit_causes(job_id) == ["lost", None]
        assert book.read(job_id).status == "running"


def lose_lease_and_claim(session_factory: SessionFactory, job_id: str) -> jobs.Claim:
    """Let another worker take the job over: its lease has run out, and is swept, in one go."""
    with transaction(session_factory) as session:
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(lease_expires_at=now(session) - timedelta(seconds=1))
        )
        jobs.sweep(session, republish_seconds=3600)
        claim = jobs.claim(session, job_id, worker="other", device="cpu", lease_seconds=3600)
    assert claim is not None
    return claim
