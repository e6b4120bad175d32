"""Validation of models and datasets: one worker at a time, under a lease, decided once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

Subject = Literal["model", "dataset"]

MAX_VALIDATIONS = 3


@dataclass(frozen=True)
class ValidationFence:
    """Which validation of which model or dataset writes; good until its lease is lost."""

    subject: Subject
    id: str
    number: int


@dataclass(frozen=True)
class Rejection:
    """Why a model or dataset was refused: the `problem` that a client reads."""

    code: str
    message: str
    details: Sequence[str] = ()


@dataclass(frozen=True)
class SweptValidations:
    """What one sweep found. Publish the ids after the commit."""

    models: tuple[str, ...]
    datasets: tuple[str, ...]


def claim(
    session: Session, subject: Subject, subject_id: str, *, lease_seconds: float
) -> ValidationFence | None:
    """Take a model or dataset that is `validating` and that no other worker holds.

    None means that there is nothing to do: it is decided, held by another, or never was.
    """
    raise NotImplementedError


def heartbeat(session: Session, fence: ValidationFence, *, lease_seconds: float) -> None:
    """Extend the lease by the database's clock.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def reject(session: Session, fence: ValidationFence, rejection: Rejection) -> None:
    """Decide that the upload is refused.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def release(session: Session, fence: ValidationFence) -> None:
    """Hand it back undecided, because the worker shuts down or the system failed.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    raise NotImplementedError


def sweep(session: Session, *, republish_seconds: float, limit: int = 100) -> SweptValidations:
    """Find what is `validating` with nobody at it, by the database's clock.

    What was taken three times without a decision (its reader died each time) is rejected with
    code `validation_failed`.
    """
    raise NotImplementedError
