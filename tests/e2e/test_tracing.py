"""The trace of a job that outlives a worker: API and two workers tell one collector."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdclient import Potstill
from kdclient.services import Services
from kdstore.tracing import root_of
from tests.otlp_collector import Collector
from tests.worker.jobs_on_digits import wait_until

# Some seconds of training, with a checkpoint every tenth of one.
LONG_SPEC: dict[str, Any] = {  # a document of any shape, hence Any
    "kind": "train",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [32]},
    "training": {"num_epochs": 200, "batch_size": 64},
    "evaluation": {"every_epochs": 50, "latency": False},
    "exports": ["safetensors"],
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def environment(collector: Collector) -> dict[str, str]:
    """What services get that tell traces soon, and notice soon that a worker is silent."""
    own = {name: value for name, value in os.environ.items() if not re.match("POTSTILL_", name)}
    return own | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "POTSTILL_TRAINING_THREADS": "1",
        "POTSTILL_CHECKPOINT_EVERY_SECONDS": "0.1",
        "POTSTILL_LEASE_SECONDS": "2",
        "POTSTILL_HEARTBEAT_SECONDS": "0.5",
        "POTSTILL_SWEEP_SECONDS": "0.5",
    }


def kill_worker(services: Services) -> None:
    """Kill the worker and, as the kernel then does, its children."""
    (worker,) = (child for child in services._children if child.name == "worker")
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()


@pytest.mark.slow
def test_job_whose_worker_is_killed_has_one_trace_from_its_submission_to_its_end(
    collector: Collector, environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        Services(tmp_path, environment=environment) as services,
        Potstill((connection := services.start()).url, connection.api_key) as client,
    ):
        client.wait_until_ready(client.dataset("digits"))
        job = client.create_job(LONG_SPEC)
        trace_id = f"{root_of(job.id).trace_id:032x}"
        wait_until(lambda: bool(collector.spans("upload checkpoint", trace_id=trace_id)))
        kill_worker(services)
        heir = environment | {"POTSTILL_DATA_DIR": str(tmp_path)}
        with subprocess.Popen([sys.executable, "-m", "worker"], env=heir) as worker:
            done = client.wait_for_job(job.id)
            worker.terminate()
        assert [attempt.exit_cause for attempt in done.attempts] == ["lost", "finished"]
    spans = collector.spans(trace_id=trace_id)
    (submit,) = (span for span in spans if span.name == "submit job")
    assert (submit.service, submit.parent_id) == ("potstill-api", "")
    attempts = {span.facts["potstill.attempt"]: span for span in spans if span.name == "attempt"}
    assert {span.parent_id for span in attempts.values()} == {submit.span_id}
    assert [attempts[number].failure for number in (1, 2)] == ["lost", None]
    workers = {attempts[number].facts["potstill.worker"] for number in (1, 2)}
    assert workers == {attempt.worker for attempt in done.attempts}
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span is not submit)
    of_lost = {span.name for span in spans if span.parent_id == attempts[1].span_id}
    assert of_lost >= {"claim", "prepare inputs", "upload checkpoint"}
    (request,) = collector.spans("POST /v1/jobs")
    assert submit.linked_traces == (request.trace_id,)
