"""An attempt ends in one transaction, and what a person asked for meanwhile is honoured."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from kdstore import artifacts, events, jobs
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import ArtifactNotFound, InvalidTransition, ReportNotFound
from kdstore.tables import Attempt, Checkpoint, ExitCause
from tests.kdstore.holdings import Holdings

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]
StatusOf = Callable[[str], str]
Request = Callable[..., object]

SYSTEM_ERROR = jobs.JobError(code="storage_unavailable", message="Try again.", fault="system")
USER_ERROR = jobs.JobError(code="diverged", message="Lower the learning rate.", fault="user")
WEIGHTS = artifacts.NewArtifact(
    name="network.safetensors",
    object_key="jobs/x/artifacts/0001/network.safetensors",
    size_bytes=123,
    sha256="a" * 64,
    media_type="application/octet-stream",
)


@pytest.fixture
def ask(session_factory: SessionFactory, workspace_id: str) -> Callable[[Request, str], None]:
    """Call it with a request such as `jobs.request_cancel` and a job."""

    def ask(request: Request, job_id: str) -> None:
        with transaction(session_factory) as session:
            request(session, workspace_id=workspace_id, job_id=job_id)

    return ask


Ask = Callable[[Request, str], None]


class TestFinish:
    def test_result_report_and_artifacts_appear_together_with_success(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            ended = jobs.finish(
                session,
                fence,
                result={"accuracy": 0.9},
                report={"kind": "train"},
                artifacts=[WEIGHTS],
            )
        assert ended == jobs.Ended("succeeded")
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            report = jobs.get_report(session, workspace_id=workspace_id, job_id=job_id)
            (stored,) = artifacts.read_all(session, workspace_id=workspace_id, job_id=job_id)
            attempt = session.get_one(Attempt, (job_id, 1))
        assert job.status == "succeeded"
        assert job.result == {"accuracy": 0.9}
        assert job.ended_at is not None
        assert job.lease_expires_at is None
        assert job.stage is None
        assert report == {"kind": "train"}
        assert (stored.name, stored.size_bytes, stored.sha256) == (
            "network.safetensors", 123, "a" * 64,
        )  # fmt: skip
        assert (attempt.exit_cause, attempt.ended_at) == ("finished", job.ended_at)

    def test_job_cancelled_meanwhile_ends_cancelled_with_nothing_recorded(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
        ask: Ask,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_cancel, job_id)
        with transaction(session_factory) as session:
            ended = jobs.finish(session, fence, result={}, report={}, artifacts=[WEIGHTS])
        assert ended == jobs.Ended("cancelled")
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            assert artifacts.read_all(session, workspace_id=workspace_id, job_id=job_id) == []
            with pytest.raises(ReportNotFound):
                jobs.get_report(session, workspace_id=workspace_id, job_id=job_id)
            with pytest.raises(ArtifactNotFound):
                artifacts.get(session, workspace_id=workspace_id, job_id=job_id, name=WEIGHTS.name)
        assert job.status == "cancelled"
        assert job.result is None

    def test_job_that_finishes_before_it_pauses_has_succeeded(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_pause, job_id)
        with transaction(session_factory) as session:
            ended = jobs.finish(session, fence, result={}, report={}, artifacts=[])
        assert ended.status == "succeeded"

    def test_success_forgets_the_checkpoints_and_gives_their_keys(
        self, holdings: Holdings, session_factory: SessionFactory
    ) -> None:
        fence = holdings.running_job()
        keys = [holdings.checkpoint(fence, total_steps=steps) for steps in (10, 20)]
        with transaction(session_factory) as session:
            ended = jobs.finish(session, fence, result={}, report={}, artifacts=[])
        assert sorted(ended.unreferred) == keys
        with reading(session_factory) as session:
            assert session.scalars(select(Checkpoint)).all() == []

    def test_job_cancelled_meanwhile_keeps_its_checkpoints(
        self, holdings: Holdings, session_factory: SessionFactory
    ) -> None:
        fence = holdings.running_job()
        key = holdings.checkpoint(fence)
        with transaction(session_factory) as session:
            jobs.request_cancel(session, workspace_id=holdings.workspace_id, job_id=fence.job_id)
            ended = jobs.finish(session, fence, result={}, report={}, artifacts=[])
        assert ended == jobs.Ended("cancelled")
        with reading(session_factory) as session:
            assert session.scalars(select(Checkpoint.object_key)).all() == [key]


class TestFail:
    def _fail(
        self,
        session_factory: SessionFactory,
        fence: jobs.Fence,
        error: jobs.JobError,
        exit_cause: ExitCause = "system_error",
    ) -> str:
        with transaction(session_factory) as session:
            return jobs.fail(session, fence, error=error, exit_cause=exit_cause)

    def test_users_error_fails_the_job_with_its_cause(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=3)
        fence = claim_job(job_id).fence
        assert self._fail(session_factory, fence, USER_ERROR, "diverged") == "failed"
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            attempt = session.get_one(Attempt, (job_id, 1))
        assert (job.error_code, job.error_message, job.error_fault) == (
            "diverged", "Lower the learning rate.", "user",
        )  # fmt: skip
        assert attempt.exit_cause == "diverged"

    def test_systems_error_is_tried_again_until_attempts_are_used_up(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=2)
        assert self._fail(session_factory, claim_job(job_id).fence, SYSTEM_ERROR) == "queued"
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            assert (job.error_code, job.ended_at, job.stage) == (None, None, None)
        assert self._fail(session_factory, claim_job(job_id).fence, SYSTEM_ERROR) == "failed"
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
        assert (job.error_code, job.error_fault) == ("storage_unavailable", "system")

    def test_next_attempt_is_put_off_twice_as_long_by_each_failure_up_to_a_bound(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=100)
        delays = []
        for _ in range(9):
            fence = claim_job(job_id).fence
            with transaction(session_factory) as session:
                jobs.fail(
                    session,
                    fence,
                    error=SYSTEM_ERROR,
                    exit_cause="system_error",
                    retry_seconds=10.0,
                )
            with reading(session_factory) as session:
                job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            assert job.claimable_at is not None
            delays.append((job.claimable_at - job.updated_at).total_seconds())
        assert delays == [10, 20, 40, 80, 160, 320, 640, 640, 640]

    def test_requeueing_tells_its_cause_as_an_event(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        self._fail(session_factory, claim_job(job_id).fence, SYSTEM_ERROR, "killed")
        with reading(session_factory) as session:
            told = [
                events.parse(event)
                for event in events.read(session, workspace_id=workspace_id, job_id=job_id)
            ]
        assert told[-2:] == [
            events.AttemptEnded(attempt=1, exit_cause="killed"),
            events.StatusChanged(
                from_status="running",
                to_status="queued",
                error_code="storage_unavailable",
                fault="system",
            ),
        ]

    def test_job_that_was_to_be_cancelled_is_cancelled(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_cancel, job_id)
        assert self._fail(session_factory, fence, USER_ERROR) == "cancelled"

    def test_job_that_was_to_pause_is_paused_by_the_systems_error(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
    ) -> None:
        job_id = queue_job(max_attempts=1)
        fence = claim_job(job_id).fence
        ask(jobs.request_pause, job_id)
        assert self._fail(session_factory, fence, SYSTEM_ERROR) == "paused"

    def test_job_that_was_to_pause_fails_by_the_users_error(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_pause, job_id)
        assert self._fail(session_factory, fence, USER_ERROR) == "failed"


class TestRelease:
    def test_handing_back_is_no_failure(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=1)
        for number in (1, 2, 3):
            fence = claim_job(job_id).fence
            assert fence.attempt == number
            with transaction(session_factory) as session:
                assert jobs.release(session, fence) == "queued"
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            assert session.get_one(Attempt, (job_id, 3)).exit_cause == "handed_back"
        assert job.failures == 0

    def test_handing_back_for_what_cannot_be_had_now_puts_it_off_and_tells_the_cause(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=1)
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            status = jobs.release(session, fence, error=SYSTEM_ERROR, delay_seconds=60.0)
        assert status == "queued"
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            told = [
                events.parse(event)
                for event in events.read(session, workspace_id=workspace_id, job_id=job_id)
            ]
        assert job.claimable_at == job.updated_at + timedelta(seconds=60)
        assert (job.failures, job.error_code) == (0, None)
        assert told[-2:] == [
            events.AttemptEnded(attempt=1, exit_cause="handed_back"),
            events.StatusChanged(
                from_status="running",
                to_status="queued",
                error_code="storage_unavailable",
                fault="system",
            ),
        ]

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [(jobs.request_cancel, "cancelled"), (jobs.request_pause, "paused")],
    )
    def test_what_a_person_asked_for_comes_before_requeueing(
        self,
        request_: Request,
        expected: str,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        ask: Ask,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(request_, job_id)
        with transaction(session_factory) as session:
            assert jobs.release(session, fence) == expected


class TestConfirm:
    def test_confirmed_cancel_ends_the_job(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        status_of: StatusOf,
        ask: Ask,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_cancel, job_id)
        with transaction(session_factory) as session:
            jobs.confirm_cancel(session, fence)
        assert status_of(job_id) == "cancelled"

    def test_confirmed_pause_frees_the_job(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        status_of: StatusOf,
        ask: Ask,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_pause, job_id)
        with transaction(session_factory) as session:
            assert jobs.confirm_pause(session, fence) == "paused"
        assert status_of(job_id) == "paused"

    def test_job_cancelled_while_it_paused_is_cancelled(
        self, session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence
        ask(jobs.request_pause, job_id)
        ask(jobs.request_cancel, job_id)
        with transaction(session_factory) as session:
            assert jobs.confirm_pause(session, fence) == "cancelled"

    @pytest.mark.parametrize("confirm", [jobs.confirm_cancel, jobs.confirm_pause])
    def test_what_nobody_asked_for_is_not_confirmed(
        self,
        confirm: Callable[..., object],
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        status_of: StatusOf,
    ) -> None:
        job_id = queue_job()
        fence = claim_job(job_id).fence

        def try_to_confirm() -> None:
            with transaction(session_factory) as session:
                confirm(session, fence)

        with pytest.raises(InvalidTransition):
            try_to_confirm()
        assert status_of(job_id) == "running"
