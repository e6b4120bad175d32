"""Transactions are all or nothing, readers write nothing, and time is the database's."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    StatementError,
)

from kdstore import workspaces
from kdstore.db import (
    SessionFactory,
    make_engine,
    make_session_factory,
    now,
    reading,
    transaction,
)
from kdstore.tables import ApiKey, Base, Workspace


def _names(session_factory: SessionFactory) -> list[str]:
    with reading(session_factory) as session:
        return list(session.scalars(select(Workspace.name).order_by(Workspace.name)))


def test_transaction_commits_at_its_end(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workspaces.ensure(session, name="a")
        workspaces.ensure(session, name="b")
    assert _names(session_factory) == ["a", "b"]


def test_error_rolls_the_whole_transaction_back(session_factory: SessionFactory) -> None:
    def write_and_die() -> None:
        with transaction(session_factory) as session:
            workspaces.ensure(session, name="a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_die()
    assert _names(session_factory) == []


def test_rows_stay_usable_after_commit(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workspace = workspaces.ensure(session, name="a")
    assert workspace.name == "a"


def test_reader_cannot_write_and_the_next_writer_can(session_factory: SessionFactory) -> None:
    def write_while_reading() -> None:
        with reading(session_factory) as session:
            workspaces.ensure(session, name="a")

    with pytest.raises(DBAPIError, match=r"read-?only"):
        write_while_reading()
    with transaction(session_factory) as session:
        workspaces.ensure(session, name="b")
    assert _names(session_factory) == ["b"]


def test_reader_does_not_wait_for_a_writer(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workspaces.ensure(session, name="a")
        assert _names(session_factory) == []  # in this thread: it would wait for ever
    assert _names(session_factory) == ["a"]


def test_concurrent_writers_take_turns(session_factory: SessionFactory) -> None:
    errors: list[Exception] = []
    barrier = threading.Barrier(6)

    def write(number: int) -> None:
        barrier.wait()
        try:
            for step in range(5):
                with transaction(session_factory) as session:
                    _read_first = session.scalars(select(Workspace.id)).all()
                    workspaces.ensure(session, name=f"{number}-{step}")
        except DBAPIError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(_names(session_factory)) == 30


def test_foreign_keys_hold(session_factory: SessionFactory) -> None:
    def write_orphan() -> None:
        with transaction(session_factory) as session:
            session.add(
                ApiKey(
                    id="key_1",
                    workspace_id="wsp_none",
                    name="k",
                    role="member",
                    secret_sha256="0" * 64,
                    created_at=now(session),
                )
            )

    with pytest.raises(IntegrityError):
        write_orphan()


def test_now_is_the_databases_and_moves_within_a_transaction(
    session_factory: SessionFactory,
) -> None:
    with transaction(session_factory) as session:
        first, second = now(session), now(session)
    assert first.utcoffset() == timedelta(0)
    assert first < second
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=5)  # both run on this machine


def test_asking_for_the_time_flushes_no_half_filled_row(session_factory: SessionFactory) -> None:
    with transaction(session_factory) as session:
        workspace = Workspace(id="wsp_1", name="a")
        session.add(workspace)
        workspace.created_at = now(session)
    assert _names(session_factory) == ["a"]


def test_moments_come_back_aware_and_in_utc(session_factory: SessionFactory) -> None:
    summer = timezone(timedelta(hours=2))
    moment = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=summer)
    with transaction(session_factory) as session:
        session.add(Workspace(id="wsp_1", name="a", created_at=moment))
    with reading(session_factory) as session:
        stored = session.get_one(Workspace, "wsp_1").created_at
    assert stored == moment
    assert stored.utcoffset() == timedelta(0)


def test_moment_without_a_time_zone_is_refused(session_factory: SessionFactory) -> None:
    naive = datetime(2026, 7, 1, 12, 0, 0)  # noqa: DTZ001  # that it is refused is the test

    def write() -> None:
        with transaction(session_factory) as session:
            session.add(Workspace(id="wsp_1", name="a", created_at=naive))

    with pytest.raises(StatementError, match="time zone"):
        write()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_runs_in_wal_and_keeps_what_it_committed(engine: Engine) -> None:
    with engine.connect() as connection:
        modes = [
            connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        ]
    assert modes == ["wal", 1, 2]


def test_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/deep/down/potstill.sqlite3")
    Base.metadata.create_all(engine)
    with transaction(make_session_factory(engine)) as session:
        workspaces.ensure(session, name="a")
    engine.dispose()
    assert (tmp_path / "deep/down/potstill.sqlite3").exists()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_connection_that_the_server_closed_costs_no_error(
    engine: Engine, session_factory: SessionFactory
) -> None:
    assert _names(session_factory) == []
    admin = make_engine(engine.url.render_as_string(hide_password=False))
    with admin.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    admin.dispose()
    assert _names(session_factory) == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_postgres_ends_a_transaction_that_does_nothing(session_factory: SessionFactory) -> None:
    with reading(session_factory) as session:
        limit = session.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    assert limit == "1min"
