"""The log is numbered over all attempts, read from the end or from any number."""

from collections.abc import Callable

from kdcore.progress import LogLine as NewLine
from kdstore import jobs, logs
from kdstore.db import SessionFactory, reading, transaction

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]


def test_lines_are_numbered_over_all_attempts(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, workspace_id: str
) -> None:
    job_id = queue_job()
    first = claim_job(job_id).fence
    with transaction(session_factory) as session:
        logs.append(session, first, [NewLine(message="a"), NewLine(message="b")])
        logs.append(session, first, [])
        jobs.release(session, first)
    second = claim_job(job_id).fence
    with transaction(session_factory) as session:
        logs.append(session, second, [NewLine(message="c", level="warning")])
    with reading(session_factory) as session:
        lines = logs.read(session, workspace_id=workspace_id, job_id=job_id)
    assert [(line.number, line.attempt_number, line.level, line.message) for line in lines] == [
        (1, 1, "info", "a"),
        (2, 1, "info", "b"),
        (3, 2, "warning", "c"),
    ]


def test_lines_that_were_written_without_an_answer_are_not_written_again(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, workspace_id: str
) -> None:
    job_id = queue_job()
    fence = claim_job(job_id).fence
    for num_before, messages in [(0, "ab"), (0, "ab"), (2, "c"), (2, "c")]:
        with transaction(session_factory) as session:
            lines = [NewLine(message=message) for message in messages]
            logs.append(session, fence, lines, num_before=num_before)
    with reading(session_factory) as session:
        written = logs.read(session, workspace_id=workspace_id, job_id=job_id)
    assert [(line.number, line.message) for line in written] == [(1, "a"), (2, "b"), (3, "c")]


def test_tail_and_range(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, workspace_id: str
) -> None:
    job_id = queue_job()
    fence = claim_job(job_id).fence
    with transaction(session_factory) as session:
        logs.append(session, fence, [NewLine(message=str(number)) for number in range(1, 11)])
    with reading(session_factory) as session:
        tail = logs.tail(session, workspace_id=workspace_id, job_id=job_id, limit=2)
        middle = logs.read(session, workspace_id=workspace_id, job_id=job_id, after=3, limit=2)
    assert [line.message for line in tail] == ["9", "10"]
    assert [line.message for line in middle] == ["4", "5"]


def test_other_workspaces_read_nothing(
    session_factory: SessionFactory,
    queue_job: QueueJob,
    claim_job: ClaimJob,
    other_workspace_id: str,
) -> None:
    job_id = queue_job()
    fence = claim_job(job_id).fence
    with transaction(session_factory) as session:
        logs.append(session, fence, [NewLine(message="secret")])
    with reading(session_factory) as session:
        assert logs.read(session, workspace_id=other_workspace_id, job_id=job_id) == []
        assert logs.tail(session, workspace_id=other_workspace_id, job_id=job_id) == []
