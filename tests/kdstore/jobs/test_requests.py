"""A person cancels, pauses, resumes and retries; what cannot be is refused and named."""

from collections.abc import Callable

import pytest

from kdcore.spec import Limits
from kdstore import events, jobs
from kdstore.db import SessionFactory, reading, transaction
from kdstore.errors import InvalidTransition, JobNotFound
from kdstore.tables import Job

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]
Request = Callable[..., Job]
Ask = Callable[[Request, str], Job]

REQUESTS: dict[str, Request] = {
    "cancel": jobs.request_cancel,
    "pause": jobs.request_pause,
    "resume": jobs.resume,
    "retry": jobs.retry,
}

# What each request makes of each status; a status that is not here refuses it.
OUTCOMES = {
    "cancel": {
        "queued": "cancelled",
        "running": "cancelling",
        "pausing": "cancelling",
        "paused": "cancelled",
        "cancelling": "cancelling",
    },
    "pause": {"queued": "paused", "running": "pausing", "pausing": "pausing"},
    "resume": {"paused": "queued"},
    "retry": {"failed": "queued", "cancelled": "queued"},
}
STATUSES = (
    "queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled",
)  # fmt: skip


@pytest.fixture
def ask(session_factory: SessionFactory, workspace_id: str) -> Ask:
    def ask(request: Request, job_id: str) -> Job:
        with transaction(session_factory) as session:
            return request(session, workspace_id=workspace_id, job_id=job_id)

    return ask


@pytest.fixture
def job_in(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
) -> Callable[[str], str]:
    """Call it with a status to get a job that came there by the functions that lead there."""

    def bring(status: str) -> str:
        job_id = queue_job()
        if status in ("paused", "cancelled"):
            ask(jobs.request_pause if status == "paused" else jobs.request_cancel, job_id)
        if status in ("queued", "paused", "cancelled"):
            return job_id
        fence = claim_job(job_id).fence
        if status in ("pausing", "cancelling"):
            ask(jobs.request_pause if status == "pausing" else jobs.request_cancel, job_id)
        error = jobs.JobError(code="diverged", message="Mend it.", fault="user")
        with transaction(session_factory) as session:
            if status == "succeeded":
                jobs.finish(session, fence, result={}, report={}, artifacts=[])
            elif status == "failed":
                jobs.fail(session, fence, error=error, exit_cause="diverged")
        return job_id

    return bring


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_every_request_in_every_status(
    request_name: str, status: str, job_in: Callable[[str], str], ask: Ask
) -> None:
    job_id = job_in(status)
    expected = OUTCOMES[request_name].get(status)
    if expected is not None:
        assert ask(REQUESTS[request_name], job_id).status == expected
        return
    with pytest.raises(InvalidTransition) as raised:
        ask(REQUESTS[request_name], job_id)
    assert raised.value.from_status == status
    assert raised.value.job_id == job_id


@pytest.mark.parametrize("request_name", REQUESTS)
def test_job_of_another_workspace_is_not_found(
    request_name: str,
    session_factory: SessionFactory,
    queue_job: QueueJob,
    other_workspace_id: str,
) -> None:
    job_id = queue_job()

    def ask_as_stranger() -> None:
        with transaction(session_factory) as session:
            REQUESTS[request_name](session, workspace_id=other_workspace_id, job_id=job_id)

    with pytest.raises(JobNotFound):
        ask_as_stranger()


def test_created_job_holds_its_resolved_spec_and_first_event(
    session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
) -> None:
    job_id = queue_job(max_attempts=5, priority=2)
    with reading(session_factory) as session:
        job = jobs.get(session, workspace_id=workspace_id, job_id=job_id)
        (event,) = events.read(session, workspace_id=workspace_id, job_id=job_id)
    assert (job.status, job.kind, job.name, job.priority) == ("queued", "train", "small", 2)
    assert (job.max_attempts, job.attempt_number, job.tags) == (5, 0, {"team": "vision"})
    assert job.spec["training"]["batch_size"] == 128  # a default that was filled in
    assert event.number == 1
    assert events.parse(event) == events.StatusChanged(from_status=None, to_status="queued")


def test_retry_grants_attempts_anew_and_clears_the_error(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
) -> None:
    job_id = queue_job(max_attempts=1)
    error = jobs.JobError(code="disk_full", message="Make room.", fault="system")
    first = claim_job(job_id).fence
    with transaction(session_factory) as session:
        assert jobs.fail(session, first, error=error, exit_cause="disk_full") == "failed"
    job = ask(jobs.retry, job_id)
    assert (job.failures, job.error_code, job.error_message, job.error_fault, job.ended_at) == (
        0, None, None, None, None,
    )  # fmt: skip
    assert claim_job(job_id).fence.attempt == 2


def test_retry_takes_new_limits_and_keeps_the_others(
    session_factory: SessionFactory, queue_job: QueueJob, ask: Ask, workspace_id: str
) -> None:
    job_id = queue_job(max_attempts=5)
    before = ask(jobs.request_cancel, job_id).spec
    with transaction(session_factory) as session:
        limits = Limits(max_seconds=7)
        job = jobs.retry(session, workspace_id=workspace_id, job_id=job_id, limits=limits)
    assert job.spec == before | {"limits": {"max_seconds": 7, "max_attempts": 5}}
    assert job.max_attempts == 5
    ask(jobs.request_cancel, job_id)
    with transaction(session_factory) as session:
        limits = Limits(max_attempts=9)
        job = jobs.retry(session, workspace_id=workspace_id, job_id=job_id, limits=limits)
    assert job.spec["limits"] == {"max_seconds": 7, "max_attempts": 9}
    assert job.max_attempts == 9


def test_retry_keeps_the_checkpoints(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, ask: Ask
) -> None:
    job_id = queue_job()
    fence = claim_job(job_id).fence
    checkpoint = jobs.NewCheckpoint(
        run="network",
        training_stage="training",
        step=3,
        total_steps=3,
        object_key="k",
        sha256="0" * 64,
        size_bytes=1,
    )
    ask(jobs.request_cancel, job_id)
    with transaction(session_factory) as session:
        jobs.checkpointed(session, fence, checkpoint)
        jobs.confirm_cancel(session, fence)
    ask(jobs.retry, job_id)
    assert [kept.object_key for kept in claim_job(job_id).checkpoints] == ["k"]


def test_asking_twice_tells_one_event(
    session_factory: SessionFactory,
    queue_job: QueueJob,
    claim_job: ClaimJob,
    ask: Ask,
    workspace_id: str,
) -> None:
    job_id = queue_job()
    claim_job(job_id)
    ask(jobs.request_cancel, job_id)
    ask(jobs.request_cancel, job_id)
    with reading(session_factory) as session:
        told = events.read(session, workspace_id=workspace_id, job_id=job_id)
    assert [event.data.get("to_status") for event in told].count("cancelling") == 1
