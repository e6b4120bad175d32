"""A watch that breaks by an error that nobody foresaw ends what it watches over."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, create_engine

from kdstore import jobs
from kdstore.db import SessionFactory, make_session_factory, transaction
from tests.worker.jobs_on_digits import LONG_JOB, JobBook, wait_until
from worker.runtime import Runtime
from worker.watch import AttemptWatch

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgres"], indirect=True),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture
def without_tables(engine: Engine) -> Iterator[SessionFactory]:
    """Sessions that find no table of ours, as after a wrong migration."""
    nowhere = create_engine(engine.url, connect_args={"options": "-c search_path=nowhere"})
    yield make_session_factory(nowhere)
    nowhere.dispose()


def test_attempt_whose_watch_has_died_is_lost(
    make_runtime: Callable[..., Runtime], book: JobBook, without_tables: SessionFactory
) -> None:
    runtime = make_runtime()
    job_id = book.create(LONG_JOB)
    with transaction(runtime.session_factory) as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=30.0)
    assert claim is not None
    broken = replace(runtime, session_factory=without_tables)
    with AttemptWatch(broken, claim, max_seconds=600, trained_seconds=lambda: 0.0) as watch:
        wait_until(lambda: watch.reason == "lost")
