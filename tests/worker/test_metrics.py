"""A worker tells Prometheus of slots, attempts, pace, heartbeats, lost leases and sweeps."""

import time
import urllib.request
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from deploy.servers.ports import ReservedPort
from kdcore.progress import Progress
from kdcore.spec import Mlp, TrainJob
from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from kdstore.objects import ObjectStore
from kdstore.queue import INGEST_QUEUE, TRAINING_QUEUE
from kdstore.settings import Settings
from kdstore.tables import Job
from tests.worker.jobs_on_digits import JobBook, small_job
from worker.metrics import MetricsPortTaken, WorkerMetrics, serving_metrics
from worker.runtime import Runtime
from worker.slots import Slot
from worker.supervisor import run_next
from worker.sweeper import sweep


def value(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"potstill_{name}", labels)


@pytest.fixture
def settings_with_port() -> Iterator[Settings]:
    port = ReservedPort()
    yield Settings(environment="test", metrics_port=port.number)
    port.close()


def test_every_outcome_is_there_from_the_start() -> None:
    metrics = WorkerMetrics()
    for outcome in ("finished", "killed", "out_of_memory", "disk_full", "lost", "handed_back"):
        assert value(metrics, "attempts_total", outcome=outcome) == 0


def test_slots_are_told_as_they_are_now() -> None:
    metrics, training = WorkerMetrics(), Slot()
    metrics.watch(
        slots={TRAINING_QUEUE: training, INGEST_QUEUE: Slot()},
        objects=ObjectStore.from_url("memory://"),
        device="cpu",
    )
    with training.taken():
        assert value(metrics, "worker_slots", lane="training", state="busy") == 1
        assert value(metrics, "worker_slots", lane="training", state="free") == 0
        assert value(metrics, "worker_slots", lane="ingest", state="free") == 1
    assert value(metrics, "worker_slots", lane="training", state="busy") == 0


def test_heartbeats_have_an_age_only_while_an_attempt_runs() -> None:
    metrics = WorkerMetrics()
    assert value(metrics, "heartbeat_age_seconds") == 0
    metrics.attempt_began()
    time.sleep(0.01)
    age_seconds = value(metrics, "heartbeat_age_seconds")
    assert age_seconds is not None
    assert age_seconds >= 0.01
    metrics.attempt_over()
    assert value(metrics, "heartbeat_age_seconds") == 0


def test_pace_is_images_a_second_and_the_time_of_a_step() -> None:
    metrics = WorkerMetrics()
    progress = Progress(
        run="network",
        fraction=0.5,
        epoch=1,
        num_epochs=2,
        step=10,
        num_steps=20,
        images_per_second=3200.0,
        training_stage="training",
        eta_seconds=1.0,
    )
    metrics.trained(progress, batch_size=32)
    assert value(metrics, "training_images_per_second") == 3200
    assert value(metrics, "training_step_seconds_sum") == pytest.approx(0.01)
    metrics.attempt_over()
    assert value(metrics, "training_images_per_second") == 0


def test_finished_attempt_is_counted_with_the_pace_of_its_steps(
    runtime: Runtime, book: JobBook
) -> None:
    job_id = book.create(small_job())
    run_next(runtime)
    assert book.exit_causes(job_id) == ["finished"]
    assert value(runtime.metrics, "attempts_total", outcome="finished") == 1
    num_told = value(runtime.metrics, "training_step_seconds_count")
    assert num_told is not None
    assert num_told >= 1
    assert value(runtime.metrics, "heartbeat_age_seconds") == 0


def test_failed_attempt_is_counted_by_its_cause(
    runtime: Runtime, book: JobBook, session_factory: SessionFactory
) -> None:
    job_id = book.create(TrainJob(dataset="digits", network=Mlp(hidden=(8,))))
    with transaction(session_factory) as session:
        session.execute(update(Job).where(Job.id == job_id).values(spec={"kind": "unknown"}))
    run_next(runtime)
    assert book.exit_causes(job_id) == ["user_error"]
    assert value(runtime.metrics, "attempts_total", outcome="user_error") == 1


def test_lease_of_a_silent_worker_is_counted_by_who_closes_it(
    runtime: Runtime, book: JobBook, session_factory: SessionFactory
) -> None:
    job_id = book.create(small_job())
    with transaction(session_factory) as session:
        jobs.claim(session, job_id, worker="dead", device="cpu", lease_seconds=-1.0)
    assert value(runtime.metrics, "sweep_last_success_timestamp_seconds") == 0
    sweep(runtime)
    assert value(runtime.metrics, "sweep_last_success_timestamp_seconds") != 0
    assert value(runtime.metrics, "lease_lost_total") == 1
    assert value(runtime.metrics, "attempts_total", outcome="lost") == 1


def test_metrics_are_served_where_the_settings_say(settings_with_port: Settings) -> None:
    with serving_metrics(settings_with_port, WorkerMetrics()):
        url = f"http://127.0.0.1:{settings_with_port.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    assert 'potstill_attempts_total{outcome="finished"} 0.0' in text


def test_port_that_is_taken_is_a_typed_error(settings_with_port: Settings) -> None:
    with (
        serving_metrics(settings_with_port, WorkerMetrics()),
        pytest.raises(MetricsPortTaken, match="POTSTILL_METRICS_PORT"),
        serving_metrics(settings_with_port, WorkerMetrics()),
    ):
        pass
