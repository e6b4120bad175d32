"""What keys do: rows in, answers out."""

from sqlalchemy.orm import Session

from api.keys.schemas import KeyCreate, KeyCreated, KeyRead
from api.schemas import ListOf
from kdstore import keys
from kdstore.tables import ApiKey


def create(session: Session, *, workspace_id: str, wanted: KeyCreate) -> KeyCreated:
    """Make a key."""
    new = keys.create(session, workspace_id=workspace_id, name=wanted.name, role=wanted.role)
    return KeyCreated(**dict(describe(new.key)), token=new.token)


def read_page(
    session: Session, *, workspace_id: str, limit: int, cursor: str | None
) -> ListOf[KeyRead]:
    """Read one page of keys. Raises CursorInvalid."""
    page = keys.page(session, workspace_id=workspace_id, limit=limit, cursor=cursor)
    return ListOf[KeyRead](
        items=[describe(key) for key in page.items], next_cursor=page.next_cursor
    )


def revoke(session: Session, *, workspace_id: str, key_id: str) -> KeyRead:
    """End a key for good. Raises KeyNotFound."""
    return describe(keys.revoke(session, workspace_id=workspace_id, key_id=key_id))


def describe(key: ApiKey) -> KeyRead:
    """Make the answer of a row."""
    return KeyRead(
        id=key.id,
        name=key.name,
        role=key.role,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )
