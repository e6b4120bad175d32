"""The database: engines for SQLite and PostgreSQL, transactions, and the clock that leases use."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from kdstore.tables import Base

SessionFactory = sessionmaker[Session]

_BUSY_SECONDS = 30.0
_OVERFLOW = 20
# A thread that gets no connection in this time answers 503, and does not queue up others.
_POOL_SECONDS = 10.0
_RECYCLE_SECONDS = 1800
# libpq: seconds to connect, and until a silent network counts as broken.
_NETWORK: dict[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
# Of the server, in milliseconds. All are far below a lease or far above what we ever need.
_LIMITS: dict[str, int] = {
    # A process frozen inside a transaction must not hold the row of its job for ever.
    "idle_in_transaction_session_timeout": 60_000,
    "statement_timeout": 60_000,
    # Below a lease: a heartbeat that waits for another's lock is tried again in time.
    "lock_timeout": 10_000,
}
# SQLSTATEs of a server that cannot serve this connection now, which psycopg calls internal errors:
# it is a standby or still recovering, as after a failover; it gave up on a frozen transaction.
_AWAY_STATES = frozenset({"25006", "25P03"})
_READ_ONLY = {"potstill_read_only": True, "postgresql_readonly": True}


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Make an engine for `sqlite:///<file>` or `postgresql+psycopg://…`.

    SQLite runs in WAL with foreign keys; the folder of its file is made. Connections are checked
    before use, so that a restarted server costs one reconnect and no error. While PostgreSQL is
    away, or refuses to write since it is no longer the primary server, every use raises
    SQLAlchemy's OperationalError, in seconds.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            parsed, connect_args={"timeout": _BUSY_SECONDS}, pool_size=pool_size, max_overflow=50
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    limits = " ".join(f"-c {name}={value}" for name, value in _LIMITS.items())
    engine = create_engine(
        parsed,
        connect_args={**_NETWORK, "options": limits},
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_SECONDS,
        pool_timeout=_POOL_SECONDS,
        pool_size=pool_size,
        max_overflow=_OVERFLOW,
    )
    event.listen(engine, "handle_error", _translate_away, retval=True)
    event.listen(engine, "checkin", _forget_read_only)
    return engine


def make_session_factory(engine: Engine) -> SessionFactory:
    """Make the factory that `transaction` and `reading` take. Rows stay usable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def transaction(session_factory: SessionFactory) -> Iterator[Session]:
    """Run one writing transaction: committed at the end, rolled back on an error.

    On SQLite it takes the one write lock at its beginning (waiting for its turn), so it cannot
    fail halfway because another writer was faster. Keep it short.
    """
    with session_factory.begin() as session:
        yield session


@contextmanager
def reading(session_factory: SessionFactory) -> Iterator[Session]:
    """Run one reading transaction; a write in it is an error on PostgreSQL and on SQLite.

    Readers do not wait for writers, nor make them wait.
    """
    with session_factory() as session:
        session.connection(execution_options=_READ_ONLY)
        yield session


def now(session: Session) -> datetime:
    """Read the database's clock, aware and in UTC: leases compare with nothing else.

    SQLite has no server; its clock is this machine's, where its file and all its users are.
    """
    if _is_sqlite(session):
        return datetime.now(UTC)
    # Past the session, because asking for the time must not flush rows that are half filled in.
    moment: datetime = session.connection().execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def insert_for(session: Session, table: type[Base]) -> Any:
    """Make an INSERT that knows ON CONFLICT, in the session's dialect.

    The two dialects' classes share their methods but no type, hence Any.
    """
    return sqlite.insert(table) if _is_sqlite(session) else postgresql.insert(table)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _forget_read_only(connection: Any, _record: object) -> None:
    """Have psycopg's connection (hence Any: nobody on SQLite loads psycopg) begin plainly again.

    After `reading` it would ask for a transaction that writes, in so many words, which a standby
    refuses even to those that will only read.
    """
    if connection is not None:
        connection.read_only = None


def _translate_away(context: ExceptionContext) -> OperationalError | None:
    """Tell a server that is away for what it is; its pool connects anew, maybe to another."""
    error = context.original_exception
    if not isinstance(context.sqlalchemy_exception, InternalError) or context.connection is None:
        return None
    # A write within `reading` is refused with the same state: that is our own mistake.
    is_reading = context.connection.get_execution_options().get("potstill_read_only", False)
    if is_reading or getattr(error, "sqlstate", None) not in _AWAY_STATES:
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, error, connection_invalidated=True)


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions on its own: `_begin_sqlite` does, in the right mode.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # An answer that says "created" must still be true after a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("potstill_read_only", False)
    connection.exec_driver_sql(f"PRAGMA query_only = {int(read_only)}")
    connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")
