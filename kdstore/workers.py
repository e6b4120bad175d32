"""Workers: who was seen lately, on what device."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from kdstore.db import insert_for, now
from kdstore.tables import Worker


def seen(session: Session, *, name: str, device: str) -> None:
    """Say that a worker lives, by the database's clock."""
    at = now(session)
    insert = insert_for(session, Worker).values(
        name=name, device=device, started_at=at, last_seen_at=at
    )
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["name"], set_={"device": device, "last_seen_at": at}
        )
    )


def read_all(session: Session, *, within_seconds: float) -> list[Worker]:
    """Read the workers seen within that time, by name."""
    oldest = now(session) - timedelta(seconds=within_seconds)
    statement = select(Worker).where(Worker.last_seen_at >= oldest).order_by(Worker.name)
    return list(session.scalars(statement))
