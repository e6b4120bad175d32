"""Workers: who was seen lately, on what device."""

from sqlalchemy.orm import Session

from kdstore.tables import Worker


def seen(session: Session, *, name: str, device: str) -> None:
    """Say that a worker lives, by the database's clock."""
    raise NotImplementedError


def read_all(session: Session, *, within_seconds: float) -> list[Worker]:
    """Read the workers seen within that time, by name."""
    raise NotImplementedError
