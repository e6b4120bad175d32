"""Faults around an attempt that it must outlive: database and storage away, cancelled late."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from kdcore.report import Report
from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore, go_on
from tests.worker.jobs_on_digits import LONG_JOB, JobBook, Trained, small_job, wait_until
from tests.worker.worker_in_process import Outbox
from worker.artifact_uploads import upload_artifacts
from worker.messages import ArtifactFile, Finished
from worker.runtime import Runtime
from worker.supervisor import Attempt, Delivered, run_next

StartAttempt = Callable[[Runtime], threading.Thread]


class StorageOutage:
    """Storage that can be neither read nor written: a file lies where its folder was."""

    def __init__(self, objects: ObjectStore) -> None:
        path = objects.local_path("")
        assert path is not None
        self._path = Path(str(path).rstrip("/"))
        self._aside = self._path.with_name("objects-aside")

    def begin(self) -> None:
        self._path.rename(self._aside)
        self._path.write_text("in the way")

    def end(self) -> None:
        self._path.unlink()
        self._aside.rename(self._path)


@pytest.fixture
def cut_connections(database_url: str) -> Iterator[Callable[[], None]]:
    """Call it to end every connection to PostgreSQL, as a restart of the server does."""
    admin = create_engine(database_url, isolation_level="AUTOCOMMIT")

    def cut() -> None:
        with admin.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    yield cut
    admin.dispose()


def test_storage_that_is_away_while_a_job_trains_and_ends_is_waited_for(
    runtime: Runtime, book: JobBook, start_attempt: StartAttempt, undisturbed: Trained
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    wait_until(lambda: len(book.series(job_id)) > 0)
    outage = StorageOutage(runtime.objects)
    outage.begin()
    wait_until(lambda: book.read(job_id).stage == "uploading")
    outage.end()
    attempt.join()
    assert book.exit_causes(job_id) == ["finished"]
    assert book.trained(job_id) == undisturbed


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_database_that_drops_its_connections_again_and_again_loses_nothing(
    runtime: Runtime,
    book: JobBook,
    start_attempt: StartAttempt,
    cut_connections: Callable[[], None],
    undisturbed: Trained,
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(runtime)
    num_cuts, pause_seconds = 0, 0.2
    while attempt.is_alive():
        attempt.join(pause_seconds)
        cut_connections()
        num_cuts += 1
        pause_seconds *= 1.05  # a slow machine, too, must get a transaction through some day
    assert num_cuts > 3
    assert book.exit_causes(job_id) == ["finished"]
    assert book.trained(job_id) == undisturbed


def test_attempt_that_cannot_have_a_folder_says_so_at_once(runtime: Runtime, book: JobBook) -> None:
    job_id = book.create(small_job())
    shutil.rmtree(runtime.scratch.folder)
    runtime.scratch.folder.write_text("in the way")
    run_next(runtime)
    assert book.exit_causes(job_id) == ["system_error"]
    assert book.read(job_id).status == "queued"


def test_worker_that_cannot_work_puts_the_job_off_and_claims_no_other(
    make_runtime: Callable[..., Runtime],
    book: JobBook,
    outbox: Outbox,
    start_attempt: StartAttempt,
) -> None:
    broken, healthy = make_runtime(retry_seconds=3600.0), make_runtime()
    job_id = book.create(small_job())
    shutil.rmtree(broken.scratch.folder)
    broken.scratch.folder.write_text("in the way")
    attempt = start_attempt(broken)
    wait_until(lambda: book.exit_causes(job_id) == ["system_error"])
    run_next(healthy)
    job = book.read(job_id)
    assert (job.status, job.failures) == ("queued", 1)
    assert outbox.sent == []
    other_id = book.create(small_job())
    run_next(healthy)
    assert book.read(other_id).status == "succeeded"
    assert attempt.is_alive()
    broken.stopping.set()


@pytest.fixture
def report(runtime: Runtime, book: JobBook) -> Report:
    """A report as a finished job has it."""
    job_id = book.create(small_job())
    run_next(runtime)
    return Report.model_validate(book.report(job_id))


def test_job_cancelled_in_the_last_moment_leaves_no_artifact(
    runtime: Runtime,
    book: JobBook,
    session_factory: SessionFactory,
    report: Report,
    tmp_path: Path,
) -> None:
    job_id = book.create(small_job())
    with transaction(session_factory) as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=3600.0)
    assert claim is not None
    (tmp_path / "training.log").write_text("done")
    file = ArtifactFile(
        name="training.log",
        path=tmp_path / "training.log",
        sha256="0" * 64,
        size_bytes=4,
        media_type="text/plain",
    )
    artifacts = upload_artifacts(runtime, claim.fence, [file], check=go_on)
    assert runtime.objects.exists(artifacts[0].object_key)
    book.cancel(job_id)
    finished = Finished(report=report, artifacts=(file,))
    Attempt(runtime, claim)._end(Delivered(finished, artifacts), reason=None)
    assert book.read(job_id).status == "cancelled"
    assert book.artifacts(job_id) == []
    assert not runtime.objects.exists(artifacts[0].object_key)
