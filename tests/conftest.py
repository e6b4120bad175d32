"""What all tests may ask for: migrated databases of both kinds, objects and settings."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from deploy.servers import PostgresServer, RedisServer, S3Server, Server
from kdstore.db import SessionFactory, make_engine, make_session_factory
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import Base
from migrations import upgrade


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """No test may find the database or the storage of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("POTSTILL_", "OTEL_"))]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    """Children of the tests must take SIGINT, also where a shell runs the tests with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_of_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of this test process: `postgres_server` gives it in good order."""
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_of_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of this test process: `redis_server` gives it in good order."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_of_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 store of this test process: `s3_server` gives it in good order.

    It takes four seconds to start; `xdist_group("s3")` keeps its tests in one process.
    """
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def postgres_server(postgres_of_process: PostgresServer) -> Iterator[PostgresServer]:
    """A running PostgreSQL that the test may stop, kill, freeze and demote."""
    yield postgres_of_process
    _put_in_order(postgres_of_process)
    postgres_of_process.promote()


@pytest.fixture
def redis_server(redis_of_process: RedisServer) -> Iterator[RedisServer]:
    """A running Redis that the test may stop, kill, freeze and fill."""
    yield redis_of_process
    _put_in_order(redis_of_process)


@pytest.fixture
def s3_server(s3_of_process: S3Server) -> Iterator[S3Server]:
    """A running S3 store that the test may stop, kill, freeze and fill."""
    yield s3_of_process
    _put_in_order(s3_of_process)


def _put_in_order(server: Server) -> None:
    server.thaw()
    server.start()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_of_process: PostgresServer) -> str:
    """The URL of a PostgreSQL database built by the migrations; tests empty it before use."""
    engine = make_engine(postgres_of_process.url)
    upgrade(engine)
    engine.dispose()
    return postgres_of_process.url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file built by the migrations, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite3"
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated SQLite database of this test."""
    path = tmp_path / "potstill.sqlite3"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_postgres: str) -> str:
    """The URL of an empty, migrated PostgreSQL database."""
    engine = make_engine(migrated_postgres)
    tables = ", ".join(Base.metadata.tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {tables} CASCADE"))
    engine.dispose()
    return migrated_postgres


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database: the test runs on SQLite, then on PostgreSQL.

    For one of them only: `@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`.
    """
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the test's database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session_factory(engine: Engine) -> SessionFactory:
    """Sessions on the test's database, for `kdstore.db.transaction` and `reading`."""
    return make_session_factory(engine)


@pytest.fixture
def object_store(settings: Settings) -> ObjectStore:
    """The object storage that `settings` names: a folder of this test."""
    return ObjectStore.from_url(settings.objects)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings whose database, broker and objects are this test's own."""
    return Settings(
        environment="test",
        data_dir=tmp_path / "data",
        database_url=SecretStr(database_url),
        training_threads=1,
    )
