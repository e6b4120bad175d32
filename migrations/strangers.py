"""Databases at a revision that this release does not know: a newer one has migrated them."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Inspector, Table, inspect

from kdstore.tables import Base


class UnknownRevision(Exception):
    """The database is at a revision of another release; nothing has changed.

    `unmet` are the needs of this release that it does not meet, one line each; empty where none
    was looked for.
    """

    def __init__(self, revision: str, unmet: Sequence[str] = ()) -> None:
        self.revision = revision
        self.unmet = tuple(unmet)
        needs = f", and not what this release needs: {'; '.join(unmet)}" if unmet else ""
        super().__init__(
            f"The database is at revision {revision}, which this release does not know{needs}. "
            "Nothing has been changed. Start the release that migrated it, which alone can undo "
            'that, too: see "Rolling back" in docs/deployment.md.'
        )


def unmet_needs(connection: Connection) -> list[str]:
    """Name what keeps this release from working on the database; empty if nothing does.

    Whatever a newer release has added is no hindrance, unless every row must have it.
    """
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    return [
        need
        for table in Base.metadata.sorted_tables
        for need in (
            _unmet_of(table, inspector)
            if table.name in there
            else [f"table {table.name} is missing"]
        )
    ]


def _unmet_of(table: Table, inspector: Inspector) -> Iterator[str]:
    found = {column["name"]: column for column in inspector.get_columns(table.name)}
    for name in sorted(table.columns.keys() - found.keys()):
        yield f"{table.name}.{name} is missing"
    for name in sorted(found.keys() - table.columns.keys()):
        if not found[name]["nullable"] and found[name]["default"] is None:
            yield f"{table.name}.{name} is new and must be filled"
