"""Workers: who was seen lately, what they do, and how long the queue is."""

from typing import Any

from kdstore import jobs, workers
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, transaction

Client = Any  # these are classes of conftest.py, which tests cannot import
Rows = Any

CPU = Capacity("cpu", max_processes=4, memory_bytes=2**34)
GPU = Capacity("gpu", max_processes=1, memory_bytes=None)


def test_nobody_works_and_nothing_waits(client: Client) -> None:
    assert client.get("/v1/workers").json() == {
        "workers": [],
        "queue": {"num_jobs": 0, "oldest_queued_at": None},
    }


def test_worker_is_listed_with_its_job_and_the_queue_behind_it(
    client: Client, rows: Rows, session_factory: SessionFactory
) -> None:
    job_id = rows.job()
    with transaction(session_factory) as session:
        workers.seen(session, name="worker-1", device="cpu", capacity=CPU)
        workers.seen(session, name="worker-2", device="cuda:0", capacity=GPU)
    rows.claim(job_id)
    waiting = client.get(f"/v1/jobs/{rows.job()}").json()
    rows.job()
    answer = client.get("/v1/workers").json()
    assert {worker["name"]: worker["job_id"] for worker in answer["workers"]} == {
        "worker-1": job_id,
        "worker-2": None,
    }
    assert answer["queue"] == {"num_jobs": 2, "oldest_queued_at": waiting["created_at"]}


def test_job_that_an_attempt_gave_back_waits_since_then(
    client: Client, rows: Rows, session_factory: SessionFactory
) -> None:
    job_id = rows.job()
    fence = rows.claim(job_id)
    with transaction(session_factory) as session:
        jobs.release(session, fence)
    (attempt,) = client.get(f"/v1/jobs/{job_id}").json()["attempts"]
    queue = client.get("/v1/workers").json()["queue"]
    assert queue == {"num_jobs": 1, "oldest_queued_at": attempt["ended_at"]}


def test_job_that_waits_for_a_failure_to_pass_waits_for_no_worker(
    client: Client, rows: Rows, session_factory: SessionFactory
) -> None:
    fence = rows.claim(rows.job())
    with transaction(session_factory) as session:
        jobs.release(session, fence, delay_seconds=3600.0)
    queue = client.get("/v1/workers").json()["queue"]
    assert queue == {"num_jobs": 0, "oldest_queued_at": None}


def test_ended_attempt_is_no_work(
    client: Client, rows: Rows, session_factory: SessionFactory
) -> None:
    with transaction(session_factory) as session:
        workers.seen(session, name="worker-1", device="cpu", capacity=CPU)
    rows.fail(rows.claim(rows.job()))
    assert client.get("/v1/workers").json()["workers"][0]["job_id"] is None
