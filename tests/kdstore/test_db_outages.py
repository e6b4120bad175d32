"""PostgreSQL stops, is killed and comes back: one error while it is away, none afterwards."""

import time

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import InternalError, OperationalError

from deploy.servers import PostgresServer
from kdstore import workspaces
from kdstore.db import SessionFactory, now, reading, transaction

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_engine_works_on_after_the_server_was_away(
    session_factory: SessionFactory, postgres_server: PostgresServer, how: str
) -> None:
    with transaction(session_factory) as session:
        workspaces.ensure(session, name="before")
    getattr(postgres_server, how)()
    with pytest.raises(OperationalError), reading(session_factory) as session:
        now(session)
    postgres_server.start()
    with transaction(session_factory) as session:
        assert workspaces.ensure(session, name="before").name == "before"
        workspaces.ensure(session, name="after")


def test_all_pooled_connections_are_replaced_without_an_error(
    engine: Engine, session_factory: SessionFactory, postgres_server: PostgresServer
) -> None:
    connections = [engine.connect() for _ in range(5)]
    for connection in connections:
        connection.execute(text("SELECT 1"))
        connection.close()
    postgres_server.restart()
    for _ in range(10):
        with reading(session_factory) as session:
            now(session)


def test_transaction_that_the_server_breaks_off_leaves_nothing(
    session_factory: SessionFactory, postgres_server: PostgresServer
) -> None:
    def write_half() -> None:
        with transaction(session_factory) as session:
            workspaces.ensure(session, name="half")
            session.flush()
            postgres_server.kill()

    with pytest.raises(OperationalError):
        write_half()
    postgres_server.start()
    with reading(session_factory) as session:
        assert session.execute(text("SELECT count(*) FROM workspaces")).scalar_one() == 0


def test_server_that_has_become_a_standby_is_away_until_a_primary_answers(
    session_factory: SessionFactory, postgres_server: PostgresServer
) -> None:
    def write() -> None:
        with transaction(session_factory) as session:
            workspaces.ensure(session, name="wanted")

    postgres_server.demote()
    for _ in range(2):  # a connection that is new, and one that has been read by
        with pytest.raises(OperationalError, match="read-only") as raised:
            write()
        assert raised.value.connection_invalidated
        with reading(session_factory) as session:
            assert session.execute(text("SELECT count(*) FROM workspaces")).scalar_one() == 0
    postgres_server.promote()
    write()


def test_transaction_that_the_server_gave_up_on_is_an_outage(
    session_factory: SessionFactory,
) -> None:
    def dawdle() -> None:
        with transaction(session_factory) as session:
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
            time.sleep(0.2)
            now(session)

    with pytest.raises(OperationalError):
        dawdle()
    with reading(session_factory) as session:
        now(session)


def test_write_in_a_reading_transaction_stays_our_own_mistake(
    session_factory: SessionFactory,
) -> None:
    with pytest.raises(InternalError), reading(session_factory) as session:
        session.execute(text("DELETE FROM workspaces"))


def test_frozen_server_is_not_waited_for_when_connecting(
    engine: Engine, postgres_server: PostgresServer
) -> None:
    postgres_server.freeze()
    with pytest.raises(OperationalError, match="timeout"):
        engine.connect()


def test_transaction_that_waits_for_a_lock_too_long_fails_and_can_be_tried_again(
    session_factory: SessionFactory,
) -> None:
    def lock() -> None:
        with transaction(session_factory) as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            session.execute(text("LOCK TABLE workspaces"))

    with transaction(session_factory) as holder:
        workspaces.ensure(holder, name="wanted")
        with pytest.raises(OperationalError, match="lock timeout"):
            lock()
    lock()


def test_no_statement_and_no_lock_is_waited_for_without_end(engine: Engine) -> None:
    with engine.connect() as connection:
        for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            shown = connection.execute(text(f"SHOW {limit}")).scalar_one()
            assert shown in ("10s", "1min")
