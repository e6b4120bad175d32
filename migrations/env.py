"""What Alembic runs around the migrations: always on the connection that it was handed."""

from typing import Any, Literal

from alembic import context

from kdstore.tables import Base, UtcDateTime


def _render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write our types as SQLAlchemy's: a migration must not change when our code does.

    `item` is whatever Alembic is about to render, hence Any.
    """
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_item=_render_item,
    transactional_ddl=True,  # SQLite too, since kdstore begins its transactions itself
)

with context.begin_transaction():
    context.run_migrations()
