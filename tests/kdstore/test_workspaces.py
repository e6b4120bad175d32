"""A workspace of a name is made once."""

from kdstore import workspaces
from kdstore.db import SessionFactory, transaction


def test_ensuring_twice_gives_the_same_workspace(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        first = workspaces.ensure(session, name="default")
    with transaction(session_factory) as session:
        again = workspaces.ensure(session, name="default")
        other = workspaces.ensure(session, name="other")
    assert again.id == first.id != other.id
    assert first.id.startswith("wsp_")
