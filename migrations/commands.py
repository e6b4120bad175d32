"""Bring a database to a revision, and compare it with the tables: Alembic without its ini file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from kdstore.tables import Base
from migrations.losses import MAY_LOSE_DATA
from migrations.strangers import UnknownRevision, unmet_needs

VERSIONS = Path(__file__).parent / "versions"

# Any number will do, as long as nobody else who shares the server takes it.
_ADVISORY_LOCK = 7_365_011_204
_LOCK_TIMEOUT = "5s"
_LOCK_NOT_AVAILABLE = "55P03"  # what PostgreSQL calls it


class TablesInUse(Exception):
    """Another transaction holds a table for longer than a migration waits; nothing has changed."""

    def __init__(self) -> None:
        super().__init__(
            f"A table was in use for over {_LOCK_TIMEOUT}; nothing has been changed. End what "
            "pg_stat_activity shows as a long transaction, and migrate again."
        )


def upgrade(engine: Engine, *, revision: str = "head") -> str | None:
    """Run the migrations up to `revision`, in one transaction; nothing if it is there already.

    Several processes may do this at once: one runs, the others wait and find it done.

    A database that a newer release has migrated is left as it is where this one works on it too,
    so that code can be rolled back alone. Gives the revision that it was left at, else None.

    Raises:
        UnknownRevision: a newer release has migrated it, and this one cannot work on it.
        TablesInUse: it had to wait too long for a table.
    """
    with _migrating(engine) as connection:
        unknown = _unknown_revision(connection)
        if unknown is None:
            command.upgrade(_config(connection), revision)
        elif unmet := unmet_needs(connection):
            raise UnknownRevision(unknown, unmet)
        return unknown


def downgrade(engine: Engine, *, revision: str, may_lose_data: bool = False) -> None:
    """Run the migrations down to `revision`; "base" leaves an empty database.

    Raises:
        DataWouldBeLost: one of them would delete what no upgrade brings back, and nobody said
            that it may; nothing has changed.
        UnknownRevision: a newer release has migrated it, which alone knows how to undo that.
        TablesInUse: it had to wait too long for a table.
    """
    with _migrating(engine) as connection:
        if (unknown := _unknown_revision(connection)) is not None:
            raise UnknownRevision(unknown)
        config = _config(connection)
        config.attributes[MAY_LOSE_DATA] = may_lose_data
        command.downgrade(config, revision)


def current_revision(engine: Engine) -> str | None:
    """Read which revision the database is at; None for one that was never migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """Give the newest revision that this release knows."""
    return ScriptDirectory(str(VERSIONS.parent)).get_current_head()


def is_known(revision: str) -> bool:
    """Tell whether this release has the migration that leads to `revision`."""
    scripts = ScriptDirectory(str(VERSIONS.parent)).walk_revisions()
    return any(script.revision == revision for script in scripts)


def find_drift(engine: Engine) -> list[str]:
    """Compare the migrated database with the tables; one line for each difference."""
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def create_revision(engine: Engine, *, slug: str, folder: Path = VERSIONS) -> Path:
    """Write a new migration from the difference between database and tables, to be reviewed."""
    with engine.begin() as connection:
        config = _config(connection, folders=(VERSIONS, folder))
        script = command.revision(config, message=slug, autogenerate=True, version_path=str(folder))
    if script is None or isinstance(script, list):
        raise RuntimeError("Alembic wrote no single file; look into migrations/versions.")
    return Path(script.path)


def _unknown_revision(connection: Connection) -> str | None:
    """Read the revision of the database if only a newer release can have migrated it there."""
    current = MigrationContext.configure(connection).get_current_revision()
    return None if current is None or is_known(current) else current


def _config(connection: Connection, *, folders: Sequence[Path] = (VERSIONS,)) -> Config:
    config = Config()
    locations = "\n".join(str(folder) for folder in dict.fromkeys(folders))
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    config.set_main_option("version_locations", locations.replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(year)d-%%(month).2d-%%(day).2d-%%(slug)s")
    config.set_main_option("timezone", "UTC")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """Open the one transaction of a migration, when it is its turn."""
    try:
        with engine.begin() as connection:
            _take_turn(connection)
            yield connection
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise TablesInUse from error
        raise


def _take_turn(connection: Connection) -> None:
    """Let only one migration run at a time, and never wait for long on tables in use.

    SQLite needs neither: its transaction began with the one write lock.
    """
    if connection.dialect.name == "postgresql":
        # A migration may take as long as it needs, and wait as long for another to end.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
