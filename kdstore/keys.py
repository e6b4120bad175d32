"""API keys: shown once, kept as a hash, compared in constant time."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from kdstore.pages import Page
from kdstore.tables import ApiKey, Role


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
    raise NotImplementedError


def verify(session: Session, token: str) -> Principal:
    """Tell whose token this is.

    Raises:
        KeyInvalid: it is unknown, wrong or revoked.
    """
    raise NotImplementedError


def revoke(session: Session, *, workspace_id: str, key_id: str) -> ApiKey:
    """End a key for good; revoking it again changes nothing.

    Raises:
        KeyNotFound: no such key in this workspace.
    """
    raise NotImplementedError


def get(session: Session, *, workspace_id: str, key_id: str) -> ApiKey:
    """Read one key, without its token.

    Raises:
        KeyNotFound: no such key in this workspace.
    """
    raise NotImplementedError


def page(
    session: Session, *, workspace_id: str, limit: int = 50, cursor: str | None = None
) -> Page[ApiKey]:
    """Read one page of keys, newest first, revoked ones too.

    Raises:
        CursorInvalid: `cursor` did not come from a page.
    """
    raise NotImplementedError
