"""Work of silent workers is taken back, and lost messages are sent again."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from kdstore import jobs
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.jobs.sweep import QueuedJob
from kdstore.tables import Attempt, Job

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]
StatusOf = Callable[[str], str]

CPU = Capacity("cpu", max_processes=1, memory_bytes=None)


@pytest.fixture
def sweep(session_factory: SessionFactory) -> Callable[..., jobs.SweptJobs]:
    def sweep(*, republish_seconds: float = 3600, limit: int = 100) -> jobs.SweptJobs:
        with transaction(session_factory) as session:
            return jobs.sweep(session, republish_seconds=republish_seconds, limit=limit)

    return sweep


Sweep = Callable[..., jobs.SweptJobs]


class TestSilentWorkers:
    def test_job_whose_lease_ran_out_is_queued_again_and_published(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        sweep: Sweep,
        workspace_id: str,
    ) -> None:
        job_id = queue_job()
        claim_job(job_id, lease_seconds=-1)
        swept = sweep()
        assert swept.requeued == (job_id,)
        assert swept.to_publish == (QueuedJob(job_id, "any"),)
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
            attempt = session.get_one(Attempt, (job_id, 1))
        assert (job.status, job.failures, job.lease_expires_at) == ("queued", 1, None)
        assert attempt.exit_cause == "lost"
        assert attempt.ended_at is not None

    def test_job_with_a_lease_is_left_alone(
        self, queue_job: QueueJob, claim_job: ClaimJob, sweep: Sweep, status_of: StatusOf
    ) -> None:
        job_id = queue_job()
        claim_job(job_id, lease_seconds=60)
        assert sweep() == jobs.SweptJobs((), (), (), (), (), ())
        assert status_of(job_id) == "running"

    def test_job_lost_too_often_fails_as_attempts_exhausted(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        sweep: Sweep,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=2)
        claim_job(job_id, lease_seconds=-1)
        assert sweep().requeued == (job_id,)
        claim_job(job_id, lease_seconds=-1)
        swept = sweep()
        assert swept.failed == (job_id,)
        assert swept.to_publish == ()
        with reading(session_factory) as session:
            job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
        assert (job.error_code, job.error_fault) == ("attempts_exhausted", "system")
        assert job.error_message is not None
        assert "attempt 2" in job.error_message

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [(jobs.request_cancel, "cancelled"), (jobs.request_pause, "paused")],
    )
    def test_silent_job_goes_where_a_person_sent_it(
        self,
        request_: Callable[..., Job],
        expected: str,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        sweep: Sweep,
        status_of: StatusOf,
        workspace_id: str,
    ) -> None:
        job_id = queue_job(max_attempts=1)
        claim_job(job_id, lease_seconds=-1)
        with transaction(session_factory) as session:
            request_(session, workspace_id=workspace_id, job_id=job_id)
        swept = sweep()
        assert getattr(swept, expected) == (job_id,)
        assert swept.to_publish == ()
        assert status_of(job_id) == expected

    def test_heartbeat_in_time_saves_the_job(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        sweep: Sweep,
    ) -> None:
        fence = claim_job(queue_job(), lease_seconds=-1).fence
        with transaction(session_factory) as session:
            jobs.heartbeat(session, fence, lease_seconds=60)
        assert sweep().requeued == ()

    def test_one_sweep_takes_at_most_its_limit(
        self, queue_job: QueueJob, claim_job: ClaimJob, sweep: Sweep
    ) -> None:
        for _ in range(3):
            claim_job(queue_job(), lease_seconds=-1)
        assert len(sweep(limit=2).requeued) == 2
        assert len(sweep(limit=2).requeued) == 1


class TestLostMessages:
    def _age(self, session_factory: SessionFactory, job_id: str, seconds: float) -> None:
        with transaction(session_factory) as session:
            at = now(session) - timedelta(seconds=seconds)
            session.execute(update(Job).where(Job.id == job_id).values(published_at=at))

    def test_message_sent_long_ago_is_sent_again_once(
        self, session_factory: SessionFactory, queue_job: QueueJob, sweep: Sweep
    ) -> None:
        job_id = queue_job()
        assert sweep(republish_seconds=60).to_publish == ()
        self._age(session_factory, job_id, 61)
        assert sweep(republish_seconds=60).to_publish == (QueuedJob(job_id, "any"),)
        assert sweep(republish_seconds=60).to_publish == ()

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # SQLite locks no rows
    def test_sweep_under_way_hides_no_job_from_a_claim(
        self, session_factory: SessionFactory, queue_job: QueueJob
    ) -> None:
        queue_job()
        urgent = queue_job(priority=5)
        with transaction(session_factory) as sweeping:
            jobs.sweep(sweeping, republish_seconds=60)
            with transaction(session_factory) as session:
                claim = jobs.claim_next(session, CPU, worker="w1", device="cpu", lease_seconds=60.0)
        assert claim is not None
        assert claim.fence.job_id == urgent

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    def test_stale_job_that_is_being_claimed_is_not_waited_for(
        self, session_factory: SessionFactory, queue_job: QueueJob
    ) -> None:
        taken, left = queue_job(priority=5), queue_job()
        for job_id in (taken, left):
            self._age(session_factory, job_id, 61)
        with transaction(session_factory) as claiming:
            jobs.claim(claiming, taken, worker="w1", device="cpu", lease_seconds=60.0)
            with transaction(session_factory) as session:
                swept = jobs.sweep(session, republish_seconds=60)
        assert swept.to_publish == (QueuedJob(left, "any"),)

    def test_job_that_waits_for_a_failure_to_pass_is_published_once_when_it_has_passed(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        sweep: Sweep,
    ) -> None:
        job_id = queue_job()
        error = jobs.JobError(code="disk_full", message="Make room.", fault="system")
        fence = claim_job(job_id).fence
        with transaction(session_factory) as session:
            jobs.fail(session, fence, error=error, exit_cause="disk_full", retry_seconds=0.5)
        self._age(session_factory, job_id, 61)
        assert sweep(republish_seconds=60).to_publish == ()
        with transaction(session_factory) as session:
            at = now(session)
            session.execute(
                update(Job)
                .where(Job.id == job_id)
                .values(published_at=at - timedelta(seconds=2), claimable_at=at)
            )
        assert sweep(republish_seconds=60).to_publish == (QueuedJob(job_id, "any"),)
        assert sweep(republish_seconds=60).to_publish == ()

    def test_running_job_is_not_published(
        self,
        session_factory: SessionFactory,
        queue_job: QueueJob,
        claim_job: ClaimJob,
        sweep: Sweep,
    ) -> None:
        job_id = queue_job()
        claim_job(job_id)
        self._age(session_factory, job_id, 61)
        assert sweep(republish_seconds=60).to_publish == ()

    def test_only_the_head_of_the_queue_is_published_by_priority_then_age(
        self, session_factory: SessionFactory, queue_job: QueueJob, sweep: Sweep
    ) -> None:
        waiting = [queue_job(), queue_job(), queue_job(priority=5)]
        for job_id in waiting:
            self._age(session_factory, job_id, 61)
        swept = sweep(republish_seconds=60, limit=2)
        assert [job.id for job in swept.to_publish] == [waiting[2], waiting[0]]
        assert sweep(republish_seconds=60, limit=2).to_publish == ()
