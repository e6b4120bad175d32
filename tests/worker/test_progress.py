"""What a child tells is written in order, fenced, and before the checkpoint that follows it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event as database_events

from kdcore.progress import (
    CheckpointSaved,
    LogLine,
    MetricPoint,
    Metrics,
    Progress,
    Resumed,
    SpecResolved,
    StageStarted,
)
from kdcore.spec import TrainJob, parse_job
from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from kdstore.errors import AttemptLost
from kdstore.events import AttemptResumed
from tests.worker.jobs_on_digits import JobBook, both_databases, small_job, wait_until
from worker.checkpoint_uploads import CheckpointUploads
from worker.progress import Relay, TrainedTime
from worker.runtime import Runtime

Claim = Callable[[str], jobs.Fence]
MakeRelay = Callable[[jobs.Fence], Relay]


@pytest.fixture
def job_id(book: JobBook) -> str:
    return book.create(small_job())


@pytest.fixture
def claim(session_factory: SessionFactory) -> Claim:
    """Call it to claim the job with a lease that lasts."""

    def claim(job_id: str) -> jobs.Fence:
        with transaction(session_factory) as session:
            claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=3600.0)
        assert claim is not None
        return claim.fence

    return claim


@pytest.fixture
def make_relay(runtime: Runtime, tmp_path: Path) -> Iterator[MakeRelay]:
    made: list[CheckpointUploads] = []

    def make(fence: jobs.Fence) -> Relay:
        uploads = CheckpointUploads(runtime, fence, tmp_path / f"outbox-{len(made)}")
        made.append(uploads)
        return Relay(runtime, fence, uploads=uploads, trained=TrainedTime())

    yield make
    for uploads in made:
        uploads.close()


def metric(step: int, *, name: str = "loss") -> Metrics:
    return Metrics(run="network", points=(MetricPoint(name=name, step=step, value=1.0 / step),))


def progress(step: int) -> Progress:
    return Progress(
        run="network",
        training_stage="training",
        fraction=step / 100,
        epoch=0,
        num_epochs=1,
        step=step,
        num_steps=100,
        images_per_second=1.0,
        eta_seconds=1.0,
    )


def saved(folder: Path, step: int) -> CheckpointSaved:
    path = folder / f"checkpoint-{step:010d}.safetensors"
    path.write_bytes(b"state %d" % step)
    return CheckpointSaved(
        path=str(path),
        sha256="0" * 64,
        size_bytes=path.stat().st_size,
        run="network",
        training_stage="training",
        step=step,
        total_steps=step,
    )


def steps(book: JobBook, job_id: str) -> list[int]:
    return [step for series in book.series(job_id) for step in series.steps]


def hand_back(session_factory: SessionFactory, fence: jobs.Fence) -> None:
    with transaction(session_factory) as session:
        jobs.release(session, fence)


@both_databases
def test_events_are_written_with_one_flush(
    claim: Claim, make_relay: MakeRelay, book: JobBook, job_id: str
) -> None:
    relay = make_relay(claim(job_id))
    for event in (
        StageStarted(stage="preparing"),
        StageStarted(stage="training"),
        LogLine(message="first"),
        metric(10),
        metric(10, name="accuracy"),
        progress(10),
        LogLine(message="second"),
        metric(20),
        progress(20),
    ):
        relay.take(event)
    assert book.series(job_id) == []
    relay.flush()
    assert {series.name: series.steps for series in book.series(job_id)} == {
        "loss": (10, 20),
        "accuracy": (10,),
    }
    assert book.log(job_id) == ["first", "second"]
    job = book.read(job_id)
    assert job.stage == "training"
    assert job.progress is not None
    assert job.progress["step"] == 20


def test_checkpoint_is_stored_after_the_metrics_before_it(
    claim: Claim, make_relay: MakeRelay, book: JobBook, job_id: str, tmp_path: Path
) -> None:
    relay = make_relay(claim(job_id))
    relay.take(metric(10))
    relay.take(saved(tmp_path, 10))
    assert book.checkpoints(job_id) == []
    relay.flush()
    assert steps(book, job_id) == [10]
    wait_until(lambda: len(book.checkpoints(job_id)) == 1)


def test_checkpoint_that_the_trainer_drops_meanwhile_is_stored_all_the_same(
    claim: Claim,
    make_relay: MakeRelay,
    book: JobBook,
    job_id: str,
    tmp_path: Path,
    runtime: Runtime,
) -> None:
    relay = make_relay(claim(job_id))
    event = saved(tmp_path, 10)
    relay.take(event)
    Path(event.path).unlink()
    relay.flush()
    wait_until(lambda: len(book.checkpoints(job_id)) == 1)
    (checkpoint,) = book.checkpoints(job_id)
    assert runtime.objects.get_bytes(checkpoint.object_key) == b"state 10"


def test_checkpoint_that_is_gone_already_is_passed_over(
    claim: Claim, make_relay: MakeRelay, book: JobBook, job_id: str, tmp_path: Path
) -> None:
    relay = make_relay(claim(job_id))
    event = saved(tmp_path, 10)
    Path(event.path).unlink()
    relay.take(event)
    relay.take(saved(tmp_path, 20))
    relay.flush()
    wait_until(lambda: len(book.checkpoints(job_id)) == 1)
    assert [checkpoint.step for checkpoint in book.checkpoints(job_id)] == [20]


def test_resumed_attempt_forgets_what_it_will_write_again(
    claim: Claim,
    make_relay: MakeRelay,
    book: JobBook,
    job_id: str,
    session_factory: SessionFactory,
) -> None:
    fence = claim(job_id)
    first = make_relay(fence)
    for step in (10, 20, 30):
        first.take(metric(step))
    first.flush()
    hand_back(session_factory, fence)
    second = make_relay(claim(job_id))
    second.take(Resumed(run="network", training_stage="hint", step=20, total_steps=20))
    second.flush()
    assert steps(book, job_id) == [10, 20]
    assert book.resumptions(job_id) == [
        AttemptResumed(attempt=2, run="network", training_stage="hint", step=20)
    ]


def test_later_attempt_without_a_checkpoint_forgets_everything_once(
    claim: Claim,
    make_relay: MakeRelay,
    book: JobBook,
    job_id: str,
    session_factory: SessionFactory,
) -> None:
    fence = claim(job_id)
    first = make_relay(fence)
    first.take(metric(10))
    first.flush()
    hand_back(session_factory, fence)
    second = make_relay(claim(job_id))
    for step in (5, 6):
        second.take(metric(step))
        second.flush()
    assert steps(book, job_id) == [5, 6]
    assert len(book.resumptions(job_id)) == 1


def test_lost_attempt_writes_nothing(
    claim: Claim,
    make_relay: MakeRelay,
    book: JobBook,
    job_id: str,
    session_factory: SessionFactory,
) -> None:
    fence = claim(job_id)
    relay = make_relay(fence)
    hand_back(session_factory, fence)
    relay.take(metric(10))
    with pytest.raises(AttemptLost):
        relay.flush()
    assert book.series(job_id) == []


def test_trained_time_runs_from_training_to_evaluation() -> None:
    trained = TrainedTime()
    trained.enter("preparing")
    assert trained.seconds() == 0.0
    trained.enter("training")
    trained.enter("control")
    trained.enter("evaluating")
    ended = trained.seconds()
    trained.enter("exporting")
    assert trained.seconds() == ended


def test_spec_that_the_run_has_completed_is_the_job_s_spec(
    claim: Claim, make_relay: MakeRelay, book: JobBook, job_id: str
) -> None:
    relay = make_relay(claim(job_id))
    completed = parse_job(book.read(job_id).spec).model_copy(update={"name": "completed"})
    assert isinstance(completed, TrainJob)
    relay.take(SpecResolved(spec=completed))
    relay.flush()
    assert parse_job(book.read(job_id).spec) == completed


def test_events_by_turns_take_no_more_statements_than_events_of_one_kind(
    book: JobBook, job_id: str, claim: Claim, make_relay: MakeRelay, runtime: Runtime
) -> None:
    relay = make_relay(claim(job_id))
    statements: list[str] = []
    engine = runtime.session_factory.kw["bind"]

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    for step in range(1, 201):
        relay.take(metric(step))
        relay.take(LogLine(level="info", message=f"line {step}"))
        relay.take(progress(1))
    database_events.listen(engine, "before_cursor_execute", note)
    try:
        relay.flush()
    finally:
        database_events.remove(engine, "before_cursor_execute", note)
    assert len(statements) < 30
    (series,) = book.series(job_id)
    assert series.steps == tuple(range(1, 201))
    assert book.log(job_id) == [f"line {step}" for step in range(1, 201)]


def test_more_events_than_one_transaction_takes_are_all_written_once(
    book: JobBook, job_id: str, claim: Claim, make_relay: MakeRelay
) -> None:
    relay = make_relay(claim(job_id))
    for step in range(1, 1502):
        relay.take(metric(step))
        relay.take(LogLine(level="info", message=f"line {step}"))
    relay.flush()
    (series,) = book.series(job_id)
    assert series.steps == tuple(range(1, 1502))
    assert book.read(job_id).log_count == 1501
