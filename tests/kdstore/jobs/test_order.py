"""Whose turn it is: priority, then workspaces in turn, then age; of jobs that fit the worker."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from kdcore.spec import Mlp, Resources, TrainJob
from kdstore import jobs
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, now, reading, transaction
from kdstore.tables import Job

Queue = Callable[..., str]
Take = Callable[..., str | None]

GiveBack = Callable[[Session, jobs.Fence], object]

KILLED = jobs.JobError(code="trainer_killed", message="It goes on.", fault="system")


def lose(session: Session, fence: jobs.Fence) -> None:
    """Let the worker fall silent, and its lease run out."""
    jobs.heartbeat(session, fence, lease_seconds=-1.0)
    jobs.sweep(session, republish_seconds=3600.0)


GIVE_BACK: dict[str, GiveBack] = {
    "killed": lambda session, fence: jobs.fail(session, fence, error=KILLED, exit_cause="killed"),
    "handed_back": jobs.release,
    "lost": lose,
}

CPU = Capacity("cpu", max_processes=4, memory_bytes=2**34)
GPU = Capacity("gpu", max_processes=1, memory_bytes=None)


@pytest.fixture
def queue(session_factory: SessionFactory, workspace_id: str) -> Queue:
    """Call it to queue a job in a workspace and get its id."""

    def put(
        *, workspace: str | None = None, priority: int = 0, resources: Resources | None = None
    ) -> str:
        spec = TrainJob(
            dataset="digits",
            network=Mlp(hidden=(8,)),
            priority=priority,
            resources=resources or Resources(),
        )
        with transaction(session_factory) as session:
            return jobs.create(session, workspace_id=workspace or workspace_id, spec=spec).id

    return put


@pytest.fixture
def take(session_factory: SessionFactory) -> Take:
    """Call it to claim the next job and get its id."""

    def claim(capacity: Capacity = CPU) -> str | None:
        with transaction(session_factory) as session:
            found = jobs.claim_next(
                session, capacity, worker="w1", device="cpu", lease_seconds=60.0
            )
        return None if found is None else found.fence.job_id

    return claim


def test_nothing_queued_is_nothing_to_claim(take: Take) -> None:
    assert take() is None


def test_oldest_job_is_first(queue: Queue, take: Take) -> None:
    ids = [queue() for _ in range(3)]
    assert [take() for _ in range(4)] == [*ids, None]


@pytest.mark.parametrize("give_back", GIVE_BACK.values(), ids=GIVE_BACK.keys())
def test_job_that_an_attempt_gave_back_keeps_its_place(
    session_factory: SessionFactory, queue: Queue, take: Take, give_back: GiveBack
) -> None:
    ids = [queue() for _ in range(3)]
    assert take() == ids[0]
    with transaction(session_factory) as session:
        give_back(session, jobs.Fence(ids[0], 1))
    assert [take() for _ in range(4)] == [*ids, None]


@pytest.mark.parametrize(
    ("leave", "come_back"),
    [(jobs.request_pause, jobs.resume), (jobs.request_cancel, jobs.retry)],
    ids=["resumed", "retried"],
)
def test_job_that_a_person_sends_again_goes_behind_the_others(
    session_factory: SessionFactory,
    queue: Queue,
    take: Take,
    workspace_id: str,
    leave: Callable[..., Job],
    come_back: Callable[..., Job],
) -> None:
    first, second = queue(), queue()
    for request in (leave, come_back):
        with transaction(session_factory) as session:
            request(session, workspace_id=workspace_id, job_id=first)
    assert [take(), take()] == [second, first]


def test_job_that_waits_for_a_failure_to_pass_is_nobodys_until_then(
    session_factory: SessionFactory, queue: Queue, take: Take
) -> None:
    failed, other = queue(priority=1), queue()
    assert take() == failed
    with transaction(session_factory) as session:
        fence = jobs.Fence(failed, 1)
        jobs.fail(session, fence, error=KILLED, exit_cause="system_error", retry_seconds=3600.0)
    assert [take(), take()] == [other, None]
    with transaction(session_factory) as session:
        assert not jobs.is_waiting(session, CPU, older_than_seconds=-1.0)
        session.execute(update(Job).where(Job.id == failed).values(claimable_at=now(session)))
    with reading(session_factory) as session:
        assert jobs.is_waiting(session, CPU, older_than_seconds=-1.0)
    assert take() == failed


@pytest.mark.parametrize(
    ("leave", "come_back"),
    [(jobs.request_pause, jobs.resume), (jobs.request_cancel, jobs.retry)],
    ids=["resumed", "retried"],
)
def test_job_that_a_person_sends_again_waits_for_no_failure_to_pass(
    session_factory: SessionFactory,
    queue: Queue,
    take: Take,
    workspace_id: str,
    leave: Callable[..., Job],
    come_back: Callable[..., Job],
) -> None:
    job_id = queue()
    take()
    with transaction(session_factory) as session:
        jobs.release(session, jobs.Fence(job_id, 1), error=KILLED, delay_seconds=3600.0)
    for request in (leave, come_back):
        with transaction(session_factory) as session:
            request(session, workspace_id=workspace_id, job_id=job_id)
    assert take() == job_id


def test_higher_priority_is_first(queue: Queue, take: Take) -> None:
    low, normal, high = queue(priority=-1), queue(), queue(priority=1)
    assert [take() for _ in range(3)] == [high, normal, low]


def test_workspaces_take_turns_however_many_jobs_one_has_queued(
    queue: Queue, take: Take, workspace_id: str, other_workspace_id: str
) -> None:
    many = [queue(workspace=workspace_id) for _ in range(4)]
    few = [queue(workspace=other_workspace_id) for _ in range(2)]
    assert [take() for _ in range(6)] == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_workspace_that_was_not_served_for_longest_is_next_when_nothing_runs(
    session_factory: SessionFactory,
    queue: Queue,
    take: Take,
    workspace_id: str,
    other_workspace_id: str,
) -> None:
    many = [queue(workspace=workspace_id) for _ in range(2)]
    late = queue(workspace=other_workspace_id)
    assert take() == many[0]
    with transaction(session_factory) as session:
        session.execute(update(Job).where(Job.id == many[0]).values(status="succeeded"))
    assert [take(), take()] == [late, many[1]]


def test_priority_counts_more_than_the_turn(
    queue: Queue, take: Take, other_workspace_id: str
) -> None:
    queue(workspace=other_workspace_id)
    urgent = [queue(priority=1) for _ in range(2)]
    assert [take(), take()] == urgent


@pytest.mark.parametrize(
    ("resources", "capacity", "can_run"),
    [
        (Resources(), CPU, True),
        (Resources(), GPU, True),
        (Resources(device="cpu"), CPU, True),
        (Resources(device="cpu"), GPU, False),
        (Resources(device="gpu"), GPU, True),
        (Resources(device="gpu"), CPU, False),
        (Resources(num_processes=4), CPU, True),
        (Resources(num_processes=5), CPU, False),
        (Resources(memory_bytes=2**34), CPU, True),
        (Resources(memory_bytes=2**34 + 1), CPU, False),
        (Resources(memory_bytes=1), GPU, False),
    ],
)
def test_job_goes_only_to_a_worker_that_has_what_it_needs(
    queue: Queue, take: Take, resources: Resources, capacity: Capacity, *, can_run: bool
) -> None:
    job_id = queue(resources=resources)
    assert take(capacity) == (job_id if can_run else None)
    told = capacity.has(
        device=resources.device,
        num_processes=resources.num_processes,
        memory_bytes=resources.memory_bytes,
    )
    assert told is can_run


def test_job_that_does_not_fit_lets_others_pass(queue: Queue, take: Take) -> None:
    big, small = queue(resources=Resources(device="gpu"), priority=9), queue()
    assert take(CPU) == small
    assert take(GPU) == big


def test_of_many_workers_each_takes_another_job(queue: Queue, take: Take) -> None:
    ids = {queue() for _ in range(8)}
    taken: list[str | None] = []
    threads = [threading.Thread(target=lambda: taken.append(take())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 8
    assert set(taken) == ids


def test_job_waits_when_its_message_is_old_and_it_fits(
    session_factory: SessionFactory, queue: Queue
) -> None:
    queue(resources=Resources(device="gpu"))
    with reading(session_factory) as session:
        assert jobs.is_waiting(session, GPU, older_than_seconds=-1.0)
        assert not jobs.is_waiting(session, CPU, older_than_seconds=-1.0)
        assert not jobs.is_waiting(session, GPU, older_than_seconds=60.0)
