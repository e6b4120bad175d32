"""Inputs that cannot be had now put a job off; no attempt is counted."""

from pathlib import Path

import pytest

from deploy.servers import PostgresServer, S3Server
from kdcore.spec import AnyJob
from kdstore import datasets, jobs, validation
from kdstore.db import SessionFactory, transaction
from kdstore.events import StatusChanged
from kdstore.objects import ObjectStore
from kdstore.queue import TRAIN_JOB
from tests.worker.jobs_on_digits import JobBook, open_book, small_job, wait_until
from tests.worker.worker_in_process import Outbox
from worker.messages import TrainOrder
from worker.preparation import Postponed, prepare
from worker.runtime import Runtime
from worker.supervisor import run_next
from worker.sweeper import sweep
from worker.watch import AttemptWatch

SPEC = small_job(max_attempts=1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for that is not there at once."""
    monkeypatch.setattr("worker.preparation._PATIENCE_SECONDS", 0.0)


@pytest.fixture
def claim(session_factory: SessionFactory) -> jobs.Claim:
    """An attempt at a job on the digits, which nobody has made."""
    job_id = open_book(session_factory).create(SPEC)
    with transaction(session_factory) as session:
        claim = jobs.claim(session, job_id, worker="w1", device="cpu", lease_seconds=60.0)
    assert claim is not None
    return claim


def prepared(
    runtime: Runtime, claim: jobs.Claim, folder: Path, spec: AnyJob = SPEC
) -> TrainOrder | Postponed:
    watch = AttemptWatch(runtime, claim, max_seconds=60.0, trained_seconds=lambda: 0.0)
    return prepare(runtime, claim, spec, folder=folder, watch=watch)


@pytest.mark.xdist_group("s3")
class TestStorage:
    @pytest.fixture
    def object_store(self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("kdstore.objects.opening._RETRIES", {"max_retries": 0})
        return ObjectStore.from_url(s3_server.environment["POTSTILL_OBJECTS_URL"])

    def test_job_is_put_off_while_storage_is_away_and_then_succeeds(
        self, runtime: Runtime, book: JobBook, outbox: Outbox, s3_server: S3Server
    ) -> None:
        job_id = book.create(SPEC)
        s3_server.stop()
        run_next(runtime)
        job = book.read(job_id)
        assert (job.status, job.failures) == ("queued", 0)
        assert book.exit_causes(job_id) == ["handed_back"]
        told = book.events(job_id)[-1]
        assert isinstance(told, StatusChanged)
        assert (told.error_code, told.fault) == ("storage_unavailable", "system")
        assert outbox.sent == []
        s3_server.start()

        def is_published() -> bool:
            sweep(runtime)
            return outbox.sent == [(TRAIN_JOB, job_id)]

        wait_until(is_published)
        run_next(runtime)
        assert book.exit_causes(job_id) == ["handed_back", "finished"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_job_is_put_off_while_the_database_is_away(
    runtime: Runtime, claim: jobs.Claim, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    postgres_server.stop()
    found = prepared(runtime, claim, tmp_path)
    assert isinstance(found, Postponed)
    assert (found.error.code, found.error.fault) == ("database_unavailable", "system")


def test_job_is_put_off_while_another_worker_makes_its_dataset(
    runtime: Runtime, claim: jobs.Claim, session_factory: SessionFactory, tmp_path: Path
) -> None:
    with transaction(session_factory) as session:
        datasets.ensure_builtin(session, "digits")
        validation.claim(session, "dataset", "digits", lease_seconds=60.0)
    found = prepared(runtime, claim, tmp_path)
    assert isinstance(found, Postponed)
    assert found.error.code == "builtin_not_made"
