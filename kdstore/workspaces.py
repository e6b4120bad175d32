"""Workspaces: made when an installation starts, or by an operator."""

from sqlalchemy.orm import Session

from kdstore.tables import Workspace


def ensure(session: Session, *, name: str) -> Workspace:
    """Read the workspace of this name; make it if it is not there."""
    raise NotImplementedError
