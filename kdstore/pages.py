"""Pages of a list: newest first, with an opaque cursor that stays right while rows are added."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import Session

from kdstore.errors import CursorInvalid
from kdstore.tables import ApiKey, Dataset, Job, Model

_ID = re.compile(r"[A-Za-z0-9_-]+")

RowT = TypeVar("RowT", ApiKey, Dataset, Job, Model)
ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Page(Generic[ItemT]):
    """Some items of a list; `next_cursor` asks for those after, and is None at the end."""

    items: Sequence[ItemT]
    next_cursor: str | None


def read_page(
    session: Session,
    statement: Select[RowT],
    row: type[RowT],
    *,
    limit: int,
    cursor: str | None,
) -> Page[RowT]:
    """Read one page of `statement`, newest first.

    Raises:
        CursorInvalid: `cursor` did not come from a page.
    """
    if cursor is not None:
        moment, last_id = _decode(cursor)
        statement = statement.where(tuple_(row.created_at, row.id) < (moment, last_id))
    statement = statement.order_by(row.created_at.desc(), row.id.desc()).limit(limit + 1)
    rows = session.scalars(statement).all()
    items = rows[:limit]
    next_cursor = _encode(items[-1]) if len(rows) > limit else None
    return Page(items=items, next_cursor=next_cursor)


def _encode(row: ApiKey | Dataset | Job | Model) -> str:
    text = f"{row.created_at.isoformat()}|{row.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, b"-_", validate=True).decode()
        moment, _, last_id = text.partition("|")
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is None or not _ID.fullmatch(last_id):
            raise CursorInvalid
        return created_at.astimezone(UTC), last_id
    except (ValueError, OverflowError, binascii.Error) as error:
        raise CursorInvalid from error
