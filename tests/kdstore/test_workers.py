"""Workers are seen while they live."""

from datetime import timedelta

from sqlalchemy import update

from kdstore import workers
from kdstore.capacity import Capacity
from kdstore.db import SessionFactory, reading, transaction
from kdstore.tables import Worker

CPU = Capacity("cpu", max_processes=4, memory_bytes=2**34)
GPU = Capacity("gpu", max_processes=1, memory_bytes=None)


def test_worker_seen_again_keeps_its_start(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workers.seen(session, name="w1", device="cpu", capacity=CPU)
    with transaction(session_factory) as session:
        workers.seen(session, name="w1", device="cuda:0", capacity=GPU)
        workers.seen(session, name="w0", device="cpu", capacity=CPU)
    with reading(session_factory) as session:
        found = workers.read_all(session, within_seconds=60)
    assert [(worker.name, worker.device) for worker in found] == [("w0", "cpu"), ("w1", "cuda:0")]
    assert found[1].started_at < found[1].last_seen_at
    assert [workers.capacity_of(worker) for worker in found] == [CPU, GPU]


def test_worker_not_seen_for_long_is_left_out(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workers.seen(session, name="w1", device="cpu", capacity=CPU)
    with transaction(session_factory) as session:
        worker = session.get_one(Worker, "w1")
        long_ago = worker.last_seen_at - timedelta(seconds=61)
        session.execute(update(Worker).values(last_seen_at=long_ago))
        assert workers.read_all(session, within_seconds=60) == []
