"""API keys: shown once, kept as a hash, compared in constant time."""

import hashlib
import hmac
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from kdstore.db import now
from kdstore.errors import KeyInvalid, KeyNotFound
from kdstore.ids import new_id, random_text
from kdstore.pages import Page, read_page
from kdstore.tables import ApiKey, Role

_TOKEN_PREFIX = "potstill"  # noqa: S105  # a prefix is no secret: it lets scanners find leaks
_SECRET_LENGTH = 40
_LONGEST_TOKEN = 200


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; `token` is told here and never again."""

    key: ApiKey
    token: str


@dataclass(frozen=True)
class Principal:
    """Who asks: the workspace and role that a valid key stands for."""

    workspace_id: str
    key_id: str
    role: Role


def create(session: Session, *, workspace_id: str, name: str, role: Role) -> NewKey:
    """Make a key. Its token is `potstill_<id>_<secret>`; only the token's sha256 is kept."""
    key_id = new_id("key")
    token = f"{_TOKEN_PREFIX}_{key_id.removeprefix('key_')}_{random_text(_SECRET_LENGTH)}"
    key = ApiKey(
        id=key_id,
        workspace_id=workspace_id,
        name=name,
        role=role,
        secret_sha256=_hash(token),
        created_at=now(session),
    )
    session.add(key)
    session.flush()
    return NewKey(key=key, token=token)


# Made once, and no more columns than are looked at: every request begins with it.
_STORED = select(
    ApiKey.id, ApiKey.workspace_id, ApiKey.role, ApiKey.secret_sha256, ApiKey.revoked_at
).where(ApiKey.id == bindparam("key_id"))


def verify(session: Session, token: str) -> Principal:
    """Tell whose token this is.

    Raises:
        KeyInvalid: it is unknown, wrong or revoked.
    """
    parts = token.split("_") if len(token) <= _LONGEST_TOKEN else []
    if len(parts) != 3 or not token.isascii():
        raise KeyInvalid
    key = session.execute(_STORED, {"key_id": f"key_{parts[1]}"}).one_or_none()
    # An unknown id is compared as well, so that the time taken tells nothing.
    stored = key.secret_sha256 if key is not None else "0" * 64
    matches = hmac.compare_digest(stored, _hash(token))
    if key is None or not matches or key.revoked_at is not None:
        raise KeyInvalid
    return Principal(workspace_id=key.workspace_id, key_id=key.id, role=key.role)


def revoke(session: Session, *, workspace_id: str, key_id: str) -> ApiKey:
    """End a key for good; revoking it again changes nothing.

    Raises:
        KeyNotFound: no such key in this workspace.
    """
    key = get(session, workspace_id=workspace_id, key_id=key_id)
    if key.revoked_at is None:
        key.revoked_at = now(session)
        session.flush()
    return key


def get(session: Session, *, workspace_id: str, key_id: str) -> ApiKey:
    """Read one key, without its token.

    Raises:
        KeyNotFound: no such key in this workspace.
    """
    key = session.scalar(
        select(ApiKey).where(ApiKey.id == key_id, ApiKey.workspace_id == workspace_id)
    )
    if key is None:
        raise KeyNotFound(key_id)
    return key


def page(
    session: Session, *, workspace_id: str, limit: int = 50, cursor: str | None = None
) -> Page[ApiKey]:
    """Read one page of keys, newest first, revoked ones too.

    Raises:
        CursorInvalid: `cursor` did not come from a page.
    """
    statement = select(ApiKey).where(ApiKey.workspace_id == workspace_id)
    return read_page(session, statement, ApiKey, limit=limit, cursor=cursor)


def _hash(token: str) -> str:
    """Hash a whole token. It has 196 random bits, so that a slow hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()
