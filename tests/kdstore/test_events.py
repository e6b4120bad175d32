"""Events are numbered without gaps, and a reader can go on where it stopped."""

import threading
from collections.abc import Callable

import pytest

from kdstore import events, jobs
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.tables import Job

ClaimJob = Callable[..., jobs.Claim]
QueueJob = Callable[..., str]


def test_numbers_have_no_gap_under_concurrent_writers(
    session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
) -> None:
    job_id = queue_job()
    barrier = threading.Barrier(6)

    def write(attempt: int) -> None:
        barrier.wait()
        for _ in range(5):
            with transaction(session_factory) as session:
                event = events.StageEntered(attempt=attempt, stage="training")
                events.append(session, job_id, event, at=now(session))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(session_factory) as session:
        told = events.read(session, workspace_id=workspace_id, job_id=job_id)
        job = session.get_one(Job, job_id)
    assert [event.number for event in told] == list(range(1, 32))
    assert job.event_count == 31


def test_rolled_back_event_leaves_no_gap(
    session_factory: SessionFactory, queue_job: QueueJob, workspace_id: str
) -> None:
    job_id = queue_job()
    event = events.StageEntered(attempt=1, stage="training")

    def write_and_die() -> None:
        with transaction(session_factory) as session:
            events.append(session, job_id, event, at=now(session))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_die()
    with transaction(session_factory) as session:
        assert events.append(session, job_id, event, at=now(session)) == 2


def test_reader_goes_on_after_the_last_number_it_saw(
    session_factory: SessionFactory, queue_job: QueueJob, claim_job: ClaimJob, workspace_id: str
) -> None:
    job_id = queue_job()
    claim_job(job_id)
    with reading(session_factory) as session:
        first = events.read(session, workspace_id=workspace_id, job_id=job_id, limit=1)
        rest = events.read(session, workspace_id=workspace_id, job_id=job_id, after=1)
    assert [events.parse(event) for event in (*first, *rest)] == [
        events.StatusChanged(from_status=None, to_status="queued"),
        events.StatusChanged(from_status="queued", to_status="running"),
        events.AttemptStarted(attempt=1, worker="w1", device="cpu"),
    ]


def test_other_workspaces_read_nothing(
    session_factory: SessionFactory, queue_job: QueueJob, other_workspace_id: str
) -> None:
    job_id = queue_job()
    with reading(session_factory) as session:
        assert events.read(session, workspace_id=other_workspace_id, job_id=job_id) == []
