"""A job has one trace over all its attempts, whoever dies: what a worker tells, as it arrives."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from kdstore import jobs
from kdstore.db import SessionFactory, now, transaction
from kdstore.otel import OtelTracing
from kdstore.tables import Job
from kdstore.tracing import attempt_of, root_of
from tests.otlp_collector import Collector, TracedSpan
from tests.worker.jobs_on_digits import LONG_JOB, JobBook, small_job, wait_until
from worker.runtime import Runtime
from worker.spare import SpareTrainer
from worker.supervisor import run_next
from worker.sweeper import sweep

StartAttempt = Callable[[Runtime], threading.Thread]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def tracing(collector: Collector) -> OtelTracing:
    return OtelTracing("potstill-worker", ["otlp"])


@pytest.fixture
def traced(runtime: Runtime, tracing: OtelTracing) -> Runtime:
    """The worker of the other tests, telling of what it does."""
    return replace(runtime, tracing=tracing)


def names_below(spans: list[TracedSpan], parent: TracedSpan) -> list[str]:
    """Names of a span's children, in the order in which they ended."""
    return [span.name for span in spans if span.parent_id == parent.span_id]


def test_job_is_told_from_claim_to_uploads(
    traced: Runtime, book: JobBook, tracing: OtelTracing, collector: Collector
) -> None:
    job_id = book.create(small_job(num_epochs=40))
    run_next(traced)
    tracing.close()
    root = root_of(job_id)
    spans = collector.spans()
    assert {span.trace_id for span in spans} == {f"{root.trace_id:032x}"}
    [attempt] = collector.spans("attempt")
    assert attempt.parent_id == f"{root.span_id:016x}"
    assert (attempt.kind, attempt.failure) == ("consumer", None)
    assert attempt.facts == {
        "potstill.job_id": job_id,
        "potstill.attempt": 1,
        "potstill.worker": traced.name,
        "potstill.device": "cpu",
        "potstill.status": "succeeded",
        "potstill.cause": "finished",
    }
    inside = names_below(spans, attempt)
    assert [name for name in inside if name != "upload checkpoint"] == [
        "claim",
        "prepare inputs",
        "preparing",
        "training",
        "evaluating",
        "exporting",
        "upload artifacts",
    ]
    assert "upload checkpoint" in inside
    assert all(span.seconds <= attempt.seconds for span in spans)


def test_stages_and_files_say_what_they_are(
    traced: Runtime, book: JobBook, tracing: OtelTracing, collector: Collector
) -> None:
    job_id = book.create(small_job())
    run_next(traced)
    tracing.close()
    [training] = collector.spans("training")
    assert training.facts == {
        "potstill.run": "network",
        "potstill.training_stage": "training",
        "potstill.step": 0,
    }
    [uploads] = collector.spans("upload artifacts")
    files = collector.spans("upload artifact")
    assert {span.parent_id for span in files} == {uploads.span_id}
    assert {(span.facts["potstill.artifact"], span.facts["potstill.size_bytes"]) for span in files}
    sizes = {artifact.name: artifact.size_bytes for artifact in book.artifacts(job_id)}
    assert {
        span.facts["potstill.artifact"]: span.facts["potstill.size_bytes"] for span in files
    } == sizes


def test_killed_trainer_fails_its_stage_and_attempt_and_the_next_joins_the_trace(
    traced: Runtime,
    book: JobBook,
    start_attempt: StartAttempt,
    spare: SpareTrainer,
    tracing: OtelTracing,
    collector: Collector,
) -> None:
    job_id = book.create(LONG_JOB)
    spare.start()
    assert spare._idle is not None
    trainer = spare._idle.pid
    attempt = start_attempt(traced)
    wait_until(lambda: book.num_stored(job_id) > 0)
    os.kill(trainer, signal.SIGKILL)
    attempt.join()
    run_next(traced)
    tracing.close()
    assert book.exit_causes(job_id) == ["killed", "finished"]
    assert len({span.trace_id for span in collector.spans()}) == 1
    killed, finished = collector.spans("attempt")
    assert (killed.failure, finished.failure) == ("trainer_killed", None)
    assert killed.facts["potstill.cause"] == "killed: trainer_killed"
    first, second = collector.spans("training")
    assert first.failure == "the process ended without a word"
    assert (first.parent_id, second.parent_id) == (killed.span_id, finished.span_id)
    step = second.facts["potstill.step"]
    assert isinstance(step, int)
    assert step > 0


def test_attempt_of_a_worker_that_went_silent_is_told_by_the_one_that_closes_it(
    traced: Runtime,
    book: JobBook,
    session_factory: SessionFactory,
    tracing: OtelTracing,
    collector: Collector,
) -> None:
    job_id = book.create(small_job())
    with transaction(session_factory) as session:
        jobs.claim(session, job_id, worker="gone", device="cuda:0", lease_seconds=-1.0)
    sweep(traced)
    tracing.close()
    [lost] = collector.spans("attempt")
    place = attempt_of(job_id, 1)
    assert (lost.span_id, lost.parent_id) == (f"{place.span_id:016x}", f"{place.parent_id:016x}")
    assert lost.failure == "lost"
    assert lost.facts == {
        "potstill.job_id": job_id,
        "potstill.attempt": 1,
        "potstill.worker": "gone",
        "potstill.device": "cuda:0",
        "potstill.cause": "lost",
    }
    assert lost.seconds >= 0


def test_attempt_that_lost_its_job_does_not_tell_of_itself(
    traced: Runtime,
    book: JobBook,
    session_factory: SessionFactory,
    start_attempt: StartAttempt,
    tracing: OtelTracing,
    collector: Collector,
) -> None:
    job_id = book.create(LONG_JOB)
    attempt = start_attempt(traced)
    wait_until(lambda: book.num_stored(job_id) > 0)
    with transaction(session_factory) as session:
        silent_since = now(session) - timedelta(seconds=1)
        session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=silent_since))
        jobs.sweep(session, republish_seconds=3600)
    attempt.join()
    tracing.close()
    assert book.exit_causes(job_id) == ["lost"]
    assert collector.spans("attempt") == []
    assert {span.trace_id for span in collector.spans("training")} == {
        f"{root_of(job_id).trace_id:032x}"
    }
