"""Condemned objects: how what nobody refers to is deleted, and what is needed never is.

An object named by content can be given up by one row while another is about to refer to it: its
upload found the object there, and wrote nothing. Neither the object's age nor a look before the
deletion closes that gap, because whoever deletes may be frozen between the look and the deletion.
So it is closed by names:

1. A key is condemned in a transaction that finds it unreferred, and a row comes to refer to a key
   in one that finds it not condemned (`require_live`). The two exclude each other, by a lock of
   PostgreSQL and by SQLite's one writer.
2. A condemned key is never referred to again: content that comes back is stored under its next
   key (`storable_key`). Hence whoever deletes a condemned object may do it at any later time.
3. An object is deleted when it has been condemned for a grace, in which a backup can be made:
   what its database refers to is still there while its objects are copied.

Keys of uploads and attempts need no such care: see `kdstore.references`.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from kdstore.db import insert_for, now
from kdstore.errors import ObjectCondemned
from kdstore.references import is_content, orphans_among
from kdstore.tables import CondemnedObject

# Any number will do that nobody else on the server takes; the migrations have the one before.
_LOCK = 7_365_011_205


def storable_key(session: Session, key: str) -> str:
    """Give the key under which content is to be stored now: `key`, or the next one after it."""
    following = CondemnedObject.key.startswith(f"{key}-", autoescape=True)
    statement = select(CondemnedObject.key).where((CondemnedObject.key == key) | following)
    condemned = set(session.scalars(statement))
    candidates = (key if number == 0 else f"{key}-{number}" for number in count())
    return next(candidate for candidate in candidates if candidate not in condemned)


def require_live(session: Session, keys: Sequence[str]) -> None:
    """Make sure that none of `keys` is condemned until commit; then refer to them.

    Raises:
        ObjectCondemned: one is. Store its content again, under its `storable_key`.
    """
    _lock(session, shared=True)
    statement = select(CondemnedObject.key).where(CondemnedObject.key.in_(keys)).limit(1)
    condemned = session.scalar(statement)
    if condemned is not None:
        raise ObjectCondemned(condemned)


def condemn_orphans(session: Session, keys: Sequence[str]) -> list[str]:
    """Condemn those of `keys` that nothing refers to; a few hundred at once.

    Returns:
        Those that were not condemned before, or have come back since they were deleted.
    """
    _lock(session, shared=False)
    orphans = orphans_among(session, keys)
    waiting = select(CondemnedObject.key).where(
        CondemnedObject.key.in_(orphans), CondemnedObject.deleted_at.is_(None)
    )
    known = set(session.scalars(waiting))
    found = [key for key in orphans if key not in known]
    if found:
        at = now(session)
        rows = [{"key": key, "condemned_at": at, "deleted_at": None} for key in found]
        insert = insert_for(session, CondemnedObject).values(rows)
        session.execute(
            insert.on_conflict_do_update(
                index_elements=["key"], set_={"condemned_at": at, "deleted_at": None}
            )
        )
    return found


def due(session: Session, *, grace_seconds: float, limit: int) -> list[str]:
    """Find objects that have been condemned for the grace; delete them after the commit.

    One that a row refers to all the same is released: the code of an earlier release knows
    nothing of condemned keys.
    """
    _lock(session, shared=False)
    oldest = now(session) - timedelta(seconds=grace_seconds)
    statement = (
        select(CondemnedObject.key)
        .where(CondemnedObject.deleted_at.is_(None), CondemnedObject.condemned_at <= oldest)
        .order_by(CondemnedObject.condemned_at, CondemnedObject.key)
        .limit(limit)
    )
    keys = list(session.scalars(statement))
    orphans = orphans_among(session, keys)
    _forget(session, list(set(keys) - set(orphans)))
    return orphans


def deleted(session: Session, keys: Sequence[str]) -> None:
    """Note that the objects of these condemned keys are gone; the keys stay taken where needed."""
    session.execute(
        update(CondemnedObject)
        .where(CondemnedObject.key.in_([key for key in keys if is_content(key)]))
        .values(deleted_at=now(session))
        .execution_options(synchronize_session=False)
    )
    _forget(session, [key for key in keys if not is_content(key)])


def _forget(session: Session, keys: Sequence[str]) -> None:
    session.execute(
        delete(CondemnedObject)
        .where(CondemnedObject.key.in_(keys))
        .execution_options(synchronize_session=False)
    )


def _lock(session: Session, *, shared: bool) -> None:
    """Keep condemning and referring apart until commit; those who refer do not wait for another."""
    if session.get_bind().dialect.name == "postgresql":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        session.execute(text(f"SELECT {function}(:key)"), {"key": _LOCK})
