"""Idempotency keys: the first answer again, for a request that is sent again."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from kdstore.db import insert_for, now
from kdstore.errors import IdempotencyConflict
from kdstore.tables import IdempotencyKey, JsonObject


@dataclass(frozen=True)
class Answer:
    """An answer as it was first given; `status` is the caller's number, only kept here."""

    status: int
    body: JsonObject
    headers: dict[str, str]


def begin(
    session: Session, *, workspace_id: str, key: str, route: str, body: bytes
) -> Answer | None:
    """Take the key for this request, or give the answer that it got before.

    A second request with the key waits for the transaction of the first. `route` names method and
    path, `body` is hashed as it came.

    Returns:
        None: go on, and call `finish` in the same transaction. An Answer: send it again.

    Raises:
        IdempotencyConflict: the key was used for another route or body.
    """
    body_sha256 = hashlib.sha256(body).hexdigest()
    taken = session.execute(
        insert_for(session, IdempotencyKey)
        .values(
            workspace_id=workspace_id,
            key=key,
            route=route,
            body_sha256=body_sha256,
            created_at=now(session),
        )
        .on_conflict_do_nothing(index_elements=["workspace_id", "key"])
        .returning(IdempotencyKey.key)
    )
    if taken.scalar_one_or_none() is not None:
        return None
    row = session.execute(
        select(IdempotencyKey).where(
            IdempotencyKey.workspace_id == workspace_id, IdempotencyKey.key == key
        )
    ).scalar_one()
    if (row.route, row.body_sha256) != (route, body_sha256) or row.response_status is None:
        raise IdempotencyConflict(key)
    return Answer(
        status=row.response_status,
        body=row.response_body or {},
        headers=row.response_headers or {},
    )


def finish(session: Session, *, workspace_id: str, key: str, answer: Answer) -> None:
    """Keep the answer, in the transaction of what the request created."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.workspace_id == workspace_id, IdempotencyKey.key == key)
        .values(
            response_status=answer.status,
            response_body=answer.body,
            response_headers=answer.headers,
        )
        .execution_options(synchronize_session=False)
    )


def sweep(session: Session, *, older_than_seconds: float) -> int:
    """Forget keys older than that by the database's clock, and return how many."""
    oldest = now(session) - timedelta(seconds=older_than_seconds)
    forgotten = session.execute(
        delete(IdempotencyKey)
        .where(IdempotencyKey.created_at < oldest)
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", forgotten).rowcount
