"""Workspaces: made when an installation starts, or by an operator."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from kdstore.db import insert_for, now
from kdstore.ids import new_id
from kdstore.tables import Workspace


def ensure(session: Session, *, name: str) -> Workspace:
    """Read the workspace of this name; make it if it is not there."""
    session.execute(
        insert_for(session, Workspace)
        .values(id=new_id("wsp"), name=name, created_at=now(session))
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return session.execute(select(Workspace).where(Workspace.name == name)).scalar_one()
