"""Duties: work that one worker does for all, now and then."""

from datetime import timedelta

from sqlalchemy.orm import Session

from kdstore.db import insert_for, now
from kdstore.tables import Duty


def take(session: Session, name: str, *, worker: str, every_seconds: float) -> bool:
    """Take a duty if it is due by the database's clock; of many who ask, one gets it.

    It is due again `every_seconds` later, done or not: a worker that dies of it delays it once.
    """
    at = now(session)
    taken = {"worker": worker, "due_at": at + timedelta(seconds=every_seconds)}
    insert = insert_for(session, Duty).values(name=name, **taken)
    taking = insert.on_conflict_do_update(
        index_elements=["name"], set_=taken, where=Duty.due_at <= at
    )
    return session.scalar(taking.returning(Duty.name)) is not None
