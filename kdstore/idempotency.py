"""Idempotency keys: the first answer again, for a request that is sent again."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from kdstore.tables import JsonObject


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
    raise NotImplementedError


def finish(session: Session, *, workspace_id: str, key: str, answer: Answer) -> None:
    """Keep the answer, in the transaction of what the request created."""
    raise NotImplementedError


def sweep(session: Session, *, older_than_seconds: float) -> int:
    """Forget keys older than that by the database's clock, and return how many."""
    raise NotImplementedError
