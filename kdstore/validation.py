"""Validation of models and datasets: one worker at a time, under a lease, decided once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar, cast

from sqlalchemy import ColumnElement, CursorResult, and_, or_, select, update
from sqlalchemy.orm import Session

from kdstore.db import now
from kdstore.errors import ValidationLost
from kdstore.tables import Dataset, JsonObject, Model, ValidationStatus

Subject = Literal["model", "dataset"]

MAX_VALIDATIONS = 3
# The waits double from the first to the longest; so many tries last about a day.
_MAX_TRIES = 150
_FIRST_WAIT_SECONDS = 15.0
_LONGEST_WAIT_SECONDS = 600.0
_RowT = TypeVar("_RowT", Model, Dataset)
_TABLES: dict[Subject, type[Model] | type[Dataset]] = {"model": Model, "dataset": Dataset}


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


UNREADABLE: Final = Rejection(
    code="validation_failed",
    message=(
        "Reading this file failed several times for no reason it could name. "
        "Save it anew and upload it again; report it if that does not help."
    ),
)
"""What a file is refused with whose readers died, one after the other, without an answer."""


@dataclass(frozen=True)
class SweptValidations:
    """What one sweep found. Publish the ids after the commit."""

    models: tuple[str, ...]
    datasets: tuple[str, ...]


def claim(
    session: Session, subject: Subject, subject_id: str, *, lease_seconds: float
) -> ValidationFence | None:
    """Take a model or dataset that is `validating` and that no other worker holds.

    None means that there is nothing to do: it is decided, held by another, put off, or never was.
    """
    table = _TABLES[subject]
    at = now(session)
    number = session.execute(
        update(table)
        .where(
            table.id == subject_id,
            table.status == "validating",
            table.lease_expires_at.is_(None),
            _is_claimable(table, at),
        )
        .values(
            validation_number=table.validation_number + 1,
            lease_expires_at=at + timedelta(seconds=lease_seconds),
        )
        .returning(table.validation_number)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    return None if number is None else ValidationFence(subject, subject_id, number)


def heartbeat(session: Session, fence: ValidationFence, *, lease_seconds: float) -> None:
    """Extend the lease by the database's clock.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    expires_at = now(session) + timedelta(seconds=lease_seconds)
    _write(session, fence, lease_expires_at=expires_at)


def begin_reading(session: Session, fence: ValidationFence) -> None:
    """Note that a reader begins with the file; if the lease runs out now, that counts as lost.

    A file may take the whole worker along with its reader, as where a container's memory ends.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    _write(session, fence, reading_number=fence.number)


def end_reading(session: Session, fence: ValidationFence) -> None:
    """Note that the reader is gone: whatever fails from now on is none of the file's doing.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    _write(session, fence, reading_number=None)


def decide(
    session: Session, fence: ValidationFence, *, status: ValidationStatus, **values: Any
) -> None:
    """Decide a validation with what follows from it; `values` are columns of any type.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    _write(
        session,
        fence,
        status=status,
        lease_expires_at=None,
        decided_at=now(session),
        **values,
    )


def reject(session: Session, fence: ValidationFence, rejection: Rejection) -> None:
    """Decide that the upload is refused.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    decide(session, fence, status="rejected", problem=_problem(rejection))


def release(session: Session, fence: ValidationFence) -> None:
    """Hand it back undecided because the worker shuts down; this counts as no validation.

    Publish it after the commit.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    _write(session, fence, lease_expires_at=None, published_at=now(session))


def postpone(
    session: Session, fence: ValidationFence, *, cause: str, suspicion: Rejection | None = None
) -> None:
    """Hand it back undecided, to be tried again after a wait that grows from try to try.

    With a `suspicion`, what failed may be the file's own doing: the third time refuses it with
    that. Without one it is the system's, whose failure `cause` names, and refuses it only when
    about a day of tries has been in vain. The sweeper publishes it.

    Raises:
        ValidationLost: another worker holds it, or it is decided.
    """
    table = _TABLES[fence.subject]
    # Nobody else writes it: the fence below holds only while the lease is this validation's.
    num_lost = session.scalar(select(table.validations_lost).where(table.id == fence.id)) or 0
    num_lost += suspicion is not None
    if suspicion is not None and num_lost >= MAX_VALIDATIONS:
        reject(session, fence, suspicion)
    elif fence.number >= _MAX_TRIES:
        reject(session, fence, _given_up(cause))
    else:
        _write(
            session,
            fence,
            validations_lost=num_lost,
            lease_expires_at=None,
            claimable_at=now(session) + _wait_after(fence.number),
        )


def sweep(session: Session, *, republish_seconds: float, limit: int = 100) -> SweptValidations:
    """Find what is `validating` with nobody at it, by the database's clock.

    A worker that was lost while it fetched or stored counts for nothing; what was lost three
    times with a reader at the file is rejected with `validation_failed`.
    """
    return SweptValidations(
        models=_sweep(session, Model, republish_seconds=republish_seconds, limit=limit),
        datasets=_sweep(session, Dataset, republish_seconds=republish_seconds, limit=limit),
    )


def _write(session: Session, fence: ValidationFence, **values: Any) -> None:
    table = _TABLES[fence.subject]
    changed = session.execute(
        update(table)
        .where(
            table.id == fence.id,
            table.status == "validating",
            table.validation_number == fence.number,
            table.lease_expires_at.is_not(None),
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[Any]", changed).rowcount == 0:
        raise ValidationLost(fence.id, fence.number)


def _is_claimable(table: type[Model] | type[Dataset], at: datetime) -> ColumnElement[bool]:
    return or_(table.claimable_at.is_(None), table.claimable_at <= at)


def _wait_after(num_tries: int) -> timedelta:
    # Far fewer doublings than a float can hold reach the longest wait.
    seconds = _FIRST_WAIT_SECONDS * 2.0 ** min(num_tries - 1, 16)
    return timedelta(seconds=min(seconds, _LONGEST_WAIT_SECONDS))


def _given_up(cause: str) -> Rejection:
    return Rejection(
        code=cause,
        message=(
            f"For about a day this service failed to read the file ({cause}), through no fault of "
            "the file. Its operator finds more in the log of the workers; then ask for it again, "
            "of the same upload."
        ),
    )


def _problem(rejection: Rejection) -> JsonObject:
    return {
        "code": rejection.code,
        "message": rejection.message,
        "details": list(rejection.details),
    }


def _sweep(
    session: Session, table: type[_RowT], *, republish_seconds: float, limit: int
) -> tuple[str, ...]:
    at = now(session)
    is_silent = table.lease_expires_at < at
    is_stale = and_(
        table.lease_expires_at.is_(None),
        _is_claimable(table, at),
        table.published_at < at - timedelta(seconds=republish_seconds),
    )
    statement = (
        select(table)
        .where(table.status == "validating", or_(is_silent, is_stale))
        .order_by(table.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    to_publish = []
    for row in session.scalars(statement):
        if row.lease_expires_at is not None:
            row.validations_lost += row.reading_number == row.validation_number
            row.lease_expires_at = None
        if row.validations_lost >= MAX_VALIDATIONS:
            row.status = "rejected"
            row.decided_at = at
            row.problem = _problem(UNREADABLE)
        else:
            row.published_at = at
            to_publish.append(row.id)
    session.flush()
    return tuple(to_publish)
