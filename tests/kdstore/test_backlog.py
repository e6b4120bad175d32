"""What waits is counted by queue with the age of the oldest; what has ended is not."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import event, update

from kdcore.spec import Mlp, Resources, TrainJob
from kdstore import jobs, uploads
from kdstore.backlog import Backlog, Waiting, read_backlog
from kdstore.datasets import ensure_builtin
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.tables import Job

QueueJob = Callable[..., str]
ClaimJob = Callable[..., jobs.Claim]


def backlog(session_factory: SessionFactory) -> Backlog:
    with reading(session_factory) as session:
        return read_backlog(session)


def gpu_job() -> TrainJob:
    return TrainJob(dataset="digits", network=Mlp(hidden=(8,)), resources=Resources(device="gpu"))


def test_every_status_and_queue_is_there_when_there_is_nothing_to_do(
    session_factory: SessionFactory,
) -> None:
    found = backlog(session_factory)
    assert set(found.num_jobs) == {"queued", "running", "pausing", "paused", "cancelling"}
    assert set(found.queues) == {"training", "training-cpu", "training-gpu", "ingest"}
    assert set(found.queues.values()) == {Waiting()}
    assert found.num_open_uploads == 0


def test_jobs_are_counted_by_status_and_by_the_queue_that_they_wait_in(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, workspace_id: str
) -> None:
    running, cancelled = queue_job(), queue_job()
    queue_job()
    queue_job(spec=gpu_job())
    queue_job(spec=gpu_job())
    claim_job(running)
    with transaction(session_factory) as session:
        jobs.request_cancel(session, workspace_id=workspace_id, job_id=cancelled)
    found = backlog(session_factory)
    assert (found.num_jobs["queued"], found.num_jobs["running"]) == (3, 1)
    assert sum(found.num_jobs.values()) == 4
    depths = {queue: waiting.depth for queue, waiting in found.queues.items()}
    assert depths == {"training": 1, "training-cpu": 0, "training-gpu": 2, "ingest": 0}


def test_age_is_that_of_the_oldest_job_that_still_waits(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
) -> None:
    ages = {queue_job(): 5000, queue_job(): 900, queue_job(): 10}
    oldest = next(iter(ages))
    with transaction(session_factory) as session:
        for job_id, seconds in ages.items():
            job = session.get_one(Job, job_id)
            earlier = job.queued_at - timedelta(seconds=seconds)
            session.execute(update(Job).where(Job.id == job_id).values(queued_at=earlier))
    claim_job(oldest)
    age_seconds = backlog(session_factory).queues["training"].oldest_age_seconds
    assert 900 <= age_seconds < 5000


def test_job_that_an_attempt_gave_back_waits_since_then(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
) -> None:
    job_id = queue_job()
    with transaction(session_factory) as session:
        long_ago = now(session) - timedelta(days=1)
        session.execute(update(Job).values(queued_at=long_ago))
    fence = claim_job(job_id).fence
    with transaction(session_factory) as session:
        jobs.release(session, fence)
    assert backlog(session_factory).queues["training"].oldest_age_seconds < 3600


def test_job_that_waits_for_a_failure_to_pass_waits_for_no_worker(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob
) -> None:
    fence = claim_job(queue_job()).fence
    with transaction(session_factory) as session:
        jobs.release(session, fence, delay_seconds=3600.0)
    found = backlog(session_factory)
    assert found.num_jobs["queued"] == 1
    assert found.queues["training"] == Waiting()


def test_validations_that_nobody_has_begun_wait_for_ingest(
    session_factory: SessionFactory,
) -> None:
    with transaction(session_factory) as session:
        ensure_builtin(session, "digits")
    assert backlog(session_factory).queues["ingest"].depth == 1


def test_uploads_count_until_they_are_completed_or_abandoned(
    session_factory: SessionFactory, workspace_id: str
) -> None:
    def begin() -> str:
        with transaction(session_factory) as session:
            return uploads.create(
                session,
                workspace_id=workspace_id,
                purpose="checkpoint",
                filename="teacher.safetensors",
                size_bytes=10,
                sha256=None,
                part_size_bytes=5,
                max_bytes=100,
                expiry_seconds=60,
            ).id

    begin()
    abandoned = begin()
    with transaction(session_factory) as session:
        uploads.abandon(session, workspace_id=workspace_id, upload_id=abandoned)
    assert backlog(session_factory).num_open_uploads == 1


@pytest.mark.parametrize("num_jobs", [0, 20])
def test_number_of_queries_does_not_depend_on_what_waits(
    num_jobs: int, session_factory: SessionFactory, queue_job: QueueJob
) -> None:
    for _ in range(num_jobs):
        queue_job()
    statements: list[str] = []
    with reading(session_factory) as session:
        event.listen(
            session.get_bind(),
            "before_cursor_execute",
            lambda _c, _cursor, statement, *_rest: statements.append(statement),
        )
        read_backlog(session)
    assert len([text for text in statements if "FROM" in text]) == 4
