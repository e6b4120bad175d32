"""Fixtures of the worker tests: a worker without its lanes, and a book of jobs."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdcore.data import builtin
from kdstore.db import SessionFactory, make_engine, make_session_factory
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from tests.worker.jobs_on_digits import (
    LONG_JOB,
    TIMEOUT_SECONDS,
    JobBook,
    Trained,
    open_book,
    put_digits,
)
from tests.worker.worker_in_process import Outbox, build_runtime, quick
from worker.child import ChildSpawner
from worker.runtime import Runtime
from worker.spare import SpareTrainer
from worker.supervisor import run_next


@pytest.fixture(scope="session")
def spawner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildSpawner]:
    """Spawns children; whatever is left of them ends with the tests."""
    spawner = ChildSpawner(num_threads=1, folder=tmp_path_factory.mktemp("children"))
    yield spawner
    spawner.close()


@pytest.fixture(scope="session")
def spare(spawner: ChildSpawner) -> Iterator[SpareTrainer]:
    """One warm child for all tests: loading torch is most of what a small job costs."""
    spare = SpareTrainer(spawner, device="cpu")
    yield spare
    spare.close()


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated database: SQLite, as what a child costs is paid each time.

    For both: `@both_databases`.
    """
    url: str = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")
    return url


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """Settings of a worker that is quick to notice, and saves often."""
    return quick(settings)


@pytest.fixture
def outbox() -> Outbox:
    """The messages that the worker has sent."""
    return Outbox()


@pytest.fixture
def make_runtime(
    worker_settings: Settings,
    session_factory: SessionFactory,
    object_store: ObjectStore,
    spawner: ChildSpawner,
    spare: SpareTrainer,
    outbox: Outbox,
) -> Iterator[Callable[..., Runtime]]:
    """Call it to make a worker that takes no messages; keywords change settings."""
    made: list[Runtime] = []

    def make(**changes: object) -> Runtime:
        runtime = build_runtime(
            worker_settings.model_copy(update=changes),
            session_factory=session_factory,
            objects=object_store,
            spawner=spawner,
            spare=spare,
            outbox=outbox,
        )
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        runtime.stopping.set()
        runtime.abandon.set()
        runtime.scratch.close()


@pytest.fixture
def runtime(make_runtime: Callable[..., Runtime]) -> Runtime:
    """A worker that takes no messages: its parts are called by the tests."""
    return make_runtime()


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as a canonical folder."""
    folder = tmp_path_factory.mktemp("digits") / "digits"
    builtin("digits", folder)
    return folder


@pytest.fixture
def book(
    session_factory: SessionFactory, object_store: ObjectStore, digits_folder: Path
) -> JobBook:
    """The jobs of this test, with the digits ready to train on."""
    put_digits(session_factory, object_store, digits_folder)
    return open_book(session_factory)


@pytest.fixture
def start_attempt() -> Iterator[Callable[[Runtime], threading.Thread]]:
    """Call it to run an attempt in a thread of its own."""
    started: list[threading.Thread] = []

    def start(runtime: Runtime) -> threading.Thread:
        thread = threading.Thread(target=run_next, args=(runtime,), daemon=True)
        thread.start()
        started.append(thread)
        return thread

    yield start
    for thread in started:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def undisturbed(
    migrated_sqlite: Path,
    tmp_path_factory: pytest.TempPathFactory,
    digits_folder: Path,
    spawner: ChildSpawner,
    spare: SpareTrainer,
) -> Trained:
    """What the long job makes when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copyfile(migrated_sqlite, folder / "potstill.sqlite3")
    settings = quick(Settings(environment="test", data_dir=folder, training_threads=1))
    engine = make_engine(settings.database)
    runtime = build_runtime(
        settings,
        session_factory=make_session_factory(engine),
        objects=ObjectStore.from_url(settings.objects),
        spawner=spawner,
        spare=spare,
        outbox=Outbox(),
    )
    put_digits(runtime.session_factory, runtime.objects, digits_folder)
    book = open_book(runtime.session_factory)
    job_id = book.create(LONG_JOB)
    run_next(runtime)
    trained = book.trained(job_id)
    engine.dispose()
    return trained
