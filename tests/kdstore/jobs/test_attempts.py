"""Claims are exclusive, and an attempt writes only while it owns its job."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from kdcore.progress import LogLine as NewLine
from kdcore.progress import MetricPoint as NewPoint
from kdcore.progress import Progress, Resumed, StageStarted
from kdstore import events, jobs, logs, metrics
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.errors import AttemptLost
from kdstore.tables import Attempt, Job

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]
StatusOf = Callable[[str], str]


def _progress(*, epoch: int = 1) -> Progress:
    return Progress(
        run="student",
        training_stage="training",
        fraction=0.1 * epoch,
        epoch=epoch,
        num_epochs=10,
        step=epoch * 5,
        num_steps=50,
        images_per_second=1000.0,
        eta_seconds=3.0,
    )


_TRAINING = StageStarted(stage="training", run="student", training_stage="hint", step=0)


def _resumption(step: int) -> Resumed:
    return Resumed(run="network", training_stage="training", step=step, total_steps=step)


def _checkpoint(total_steps: int, *, key: str | None = None) -> jobs.NewCheckpoint:
    return jobs.NewCheckpoint(
        run="student",
        training_stage="training",
        step=total_steps,
        total_steps=total_steps,
        object_key=key or f"checkpoint-{total_steps}",
        sha256="0" * 64,
        size_bytes=10,
    )


class TestClaim:
    def test_claim_makes_a_queued_job_run_with_a_new_attempt(
        self, session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
    ) -> None:
        job_id = queue_job()
        with transaction(session_factory) as session:
            claim = jobs.claim(session, job_id, worker="w1", device="cuda:0", lease_seconds=30)
        assert claim is not None
        assert claim.fence == jobs.Fence(job_id, 1)
        assert claim.workspace_id == workspace_id
        assert claim.spec["network"]["hidden"] == [8]
        assert claim.checkpoints == ()
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            attempt = session.get_one(Attempt, (job_id, 1))
            assert job.status == "running"
            assert job.started_at is not None
            assert job.lease_expires_at is not None
            assert job.lease_expires_at > now(session) + timedelta(seconds=20)
        assert (attempt.worker, attempt.device, attempt.ended_at) == ("w1", "cuda:0", None)

    def test_running_job_is_not_claimed_again(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
    ) -> None:
        job_id = queue_job()
        claim_job(job_id)
        with transaction(session_factory) as session:
            again = jobs.claim(session, job_id, worker="w2", device="cpu", lease_seconds=30)
        assert again is None

    def test_cancelled_job_is_not_claimed(
        self, session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
    ) -> None:
        job_id = queue_job()
        with transaction(session_factory) as session:
            jobs.request_cancel(session, workspace_id=workspace_id, job_id=job_id)
        with transaction(session_factory) as session:
            assert jobs.claim(session, job_id, worker="w1", device="cpu", lease_seconds=30) is None

    def test_unknown_job_is_not_claimed(self, session_factory: SessionFactory) -> None:
        with transaction(session_factory) as session:
            claim = jobs.claim(session, "job_none", worker="w1", device="cpu", lease_seconds=30)
        assert claim is None

    def test_of_many_claims_at_once_exactly_one_succeeds(
        self, session_factory: SessionFactory, queue_job: QueueJob, status_of: StatusOf
    ) -> None:
        job_id = queue_job()
        claims: list[jobs.Claim | None] = []
        barrier = threading.Barrier(8)

        def claim(worker: str) -> None:
            barrier.wait()
            with transaction(session_factory) as session:
                found = jobs.claim(session, job_id, worker=worker, device="cpu", lease_seconds=30)
            claims.append(found)

        threads = [threading.Thread(target=claim, args=(f"w{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(claims) == 8
        (won,) = [claim for claim in claims if claim is not None]
        assert won.fence.attempt == 1
        assert status_of(job_id) == "running"

    def test_rolled_back_claim_leaves_the_job_queued(
        self, session_factory: SessionFactory, queue_job: QueueJob, status_of: StatusOf
    ) -> None:
        job_id = queue_job()

        def claim_and_die() -> None:
            with transaction(session_factory) as session:
                jobs.claim(session, job_id, worker="w1", device="cpu", lease_seconds=30)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            claim_and_die()
        assert status_of(job_id) == "queued"

    def test_next_claim_gets_checkpoints_newest_first_and_seconds_trained(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
    ) -> None:
        job_id = queue_job()
        first = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.checkpointed(session, first, _checkpoint(10))
            jobs.checkpointed(session, first, _checkpoint(20))
            jobs.heartbeat(session, first, lease_seconds=30, trained_seconds=7.5)
            jobs.release(session, first)
        second = claim_job(job_id)
        assert [checkpoint.total_steps for checkpoint in second.checkpoints] == [20, 10]
        assert second.trained_seconds == 7.5
        assert second.fence.attempt == 2


class TestHeartbeat:
    def test_heartbeat_extends_the_lease_and_keeps_progress(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id, lease_seconds=1).fence
        with transaction(session_factory) as session:
            status = jobs.heartbeat(
                session,
                fence,
                lease_seconds=100,
                trained_seconds=2.5,
                progress=_progress(epoch=3),
            )
        assert status == "running"
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            assert job.lease_expires_at is not None
            assert job.lease_expires_at > now(session) + timedelta(seconds=50)
            assert session.get_one(Attempt, (job_id, 1)).trained_seconds == 2.5
        assert Progress.model_validate(job.progress) == _progress(epoch=3)

    def test_heartbeat_tells_that_a_person_wants_to_cancel(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.request_cancel(session, workspace_id=workspace_id, job_id=job_id)
        with transaction(session_factory) as session:
            assert jobs.heartbeat(session, fence, lease_seconds=30) == "cancelling"


class TestFence:
    @pytest.mark.parametrize(
        "write",
        [
            lambda session, fence: jobs.heartbeat(session, fence, lease_seconds=30),
            lambda session, fence: jobs.set_stage(session, fence, _TRAINING),
            lambda session, fence: jobs.set_progress(session, fence, _progress()),
            lambda session, fence: jobs.checkpointed(session, fence, _checkpoint(1)),
            lambda session, fence: jobs.resumed(session, fence, _resumption(1)),
            lambda session, fence: metrics.append(
                session, fence, run="student", points=[NewPoint(name="loss", step=1, value=1.0)]
            ),
            lambda session, fence: logs.append(session, fence, [NewLine(message="hello")]),
            lambda session, fence: jobs.finish(session, fence, result={}, report={}, artifacts=[]),
            lambda session, fence: jobs.fail(
                session,
                fence,
                error=jobs.JobError(code="x", message="y", fault="user"),
                exit_cause="user_error",
            ),
            jobs.release,
            jobs.confirm_cancel,
            jobs.confirm_pause,
        ],
        ids=[
            "heartbeat",
            "set_stage",
            "set_progress",
            "checkpointed",
            "resumed",
            "metrics",
            "logs",
            "finish",
            "fail",
            "release",
            "confirm_cancel",
            "confirm_pause",
        ],
    )
    def test_attempt_that_lost_its_lease_writes_nothing(
        self,
        write: Callable[..., object],
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        status_of: StatusOf,
    ) -> None:
        job_id = queue_job()
        zombie = claim_job(job_id, lease_seconds=-1).fence
        with transaction(session_factory) as session:
            assert jobs.sweep(session, republish_seconds=60).requeued == (job_id,)
        claim_job(job_id, worker="w2")

        def write_as_zombie() -> None:
            with transaction(session_factory) as session:
                write(session, zombie)

        with pytest.raises(AttemptLost) as raised:
            write_as_zombie()
        assert (raised.value.job_id, raised.value.attempt) == (job_id, 1)
        assert status_of(job_id) == "running"

    def test_ended_job_takes_no_more_writes(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
    ) -> None:
        fence = claim_job(queue_job()).fence
        with transaction(session_factory) as session:
            jobs.finish(session, fence, result={}, report={}, artifacts=[])

        def write() -> None:
            with transaction(session_factory) as session:
                jobs.heartbeat(session, fence, lease_seconds=30)

        with pytest.raises(AttemptLost):
            write()


class TestCheckpoints:
    def test_newest_two_are_kept_and_keys_of_the_others_returned(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
    ) -> None:
        fence = claim_job(queue_job()).fence
        with transaction(session_factory) as session:
            assert jobs.checkpointed(session, fence, _checkpoint(10)) == ()
            assert jobs.checkpointed(session, fence, _checkpoint(20)) == ()
            assert jobs.checkpointed(session, fence, _checkpoint(30)) == ("checkpoint-10",)

    def test_same_step_of_a_later_attempt_comes_first(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
    ) -> None:
        job_id = queue_job()
        first = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.checkpointed(session, first, _checkpoint(10, key="old"))
            jobs.release(session, first)
        second = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.checkpointed(session, second, _checkpoint(10, key="new"))
            jobs.release(session, second)
        third = claim_job(job_id)
        assert [checkpoint.object_key for checkpoint in third.checkpoints] == ["new", "old"]

    def test_two_attempts_never_name_the_same_object(self) -> None:
        keys = {
            jobs.checkpoint_key(jobs.Fence("job_1", attempt), total_steps=5) for attempt in (1, 2)
        }
        assert len(keys) == 2


class TestTelling:
    def test_stage_is_on_the_job_and_in_its_events(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.set_stage(session, fence, _TRAINING)
        with reading(session_factory) as session:
            assert session.scalar(select(Job.stage).where(Job.id == job_id)) == "training"
            told = events.read(session, workspace_id=workspace_id, job_id=job_id)
        assert events.parse(told[-1]) == events.StageEntered(
            attempt=1, stage="training", run="student", training_stage="hint", step=0
        )

    def test_set_progress_keeps_the_newest(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.set_progress(session, fence, _progress(epoch=1))
            jobs.set_progress(session, fence, _progress(epoch=2))
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
        assert Progress.model_validate(job.progress) == _progress(epoch=2)

    @pytest.mark.parametrize("from_step", [12, None])
    def test_resumed_step_is_on_the_attempt(
        self,
        from_step: int | None,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.resumed(session, fence, _resumption(from_step) if from_step else None)
        with reading(session_factory) as session:
            assert session.get_one(Attempt, (job_id, 1)).resumed_from_step == from_step

    @pytest.mark.parametrize(("from_step", "kept"), [(20, [20, 10]), (10, [10]), (None, [])])
    def test_checkpoints_that_were_passed_over_are_forgotten(
        self,
        from_step: int | None,
        kept: list[int],
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
    ) -> None:
        job_id = queue_job()
        first = claim_job(job_id).fence
        with transaction(session_factory) as session:
            for total_steps in (10, 20):
                jobs.checkpointed(session, first, _checkpoint(total_steps))
            jobs.release(session, first)
        second = claim_job(job_id).fence
        with transaction(session_factory) as session:
            resumption = _resumption(from_step) if from_step else None
            unreferred = jobs.resumed(session, second, resumption)
            jobs.release(session, second)
        left = [checkpoint.total_steps for checkpoint in claim_job(job_id).checkpoints]
        assert left == kept
        assert set(unreferred) == {f"checkpoint-{step}" for step in {10, 20} - set(kept)}
