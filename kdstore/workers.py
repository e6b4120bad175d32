"""Workers: who was seen lately, on what device."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from kdstore.capacity import Capacity, device_kind
from kdstore.db import insert_for, now
from kdstore.tables import Worker


def seen(session: Session, *, name: str, device: str, capacity: Capacity) -> None:
    """Say that a worker lives, and what it has, by the database's clock."""
    at = now(session)
    has = {
        "device": device,
        "max_processes": capacity.max_processes,
        "memory_bytes": capacity.memory_bytes,
        "last_seen_at": at,
    }
    insert = insert_for(session, Worker).values(name=name, started_at=at, **has)
    session.execute(insert.on_conflict_do_update(index_elements=["name"], set_=has))


def read_all(session: Session, *, within_seconds: float) -> list[Worker]:
    """Read the workers seen within that time, by name."""
    oldest = now(session) - timedelta(seconds=within_seconds)
    statement = select(Worker).where(Worker.last_seen_at >= oldest).order_by(Worker.name)
    return list(session.scalars(statement))


def capacity_of(worker: Worker) -> Capacity:
    """Give what a worker said that it has."""
    return Capacity(
        device_kind=device_kind(worker.device),
        max_processes=worker.max_processes,
        memory_bytes=worker.memory_bytes,
    )
