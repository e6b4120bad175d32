"""Every line of an attempt names request, job, attempt and worker, its child's output too."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from kdstore import jobs
from kdstore.db import SessionFactory, transaction
from kdstore.log import JsonFormatter, log_fields
from kdstore.otel import OtelTracing
from kdstore.tracing import attempt_of, root_of
from tests.worker.jobs_on_digits import JobBook, small_job
from worker.child import ChildSpawner
from worker.log import FIELDS
from worker.runtime import Runtime
from worker.supervisor import run_next

Line = dict[str, Any]  # JSON of any shape, hence Any


class Lines(logging.Handler):
    """Keeps the lines as the process would write them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(FIELDS))
        self.kept: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    handler, logger = Lines(), logging.getLogger("worker")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.kept
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_lines_of_an_attempt_lead_back_to_the_request(
    runtime: Runtime, book: JobBook, session_factory: SessionFactory, lines: list[Line]
) -> None:
    with transaction(session_factory) as session:
        job_id = jobs.create(
            session,
            workspace_id=book.workspace_id,
            spec=small_job(num_epochs=40),
            request_id="trace-7",
        ).id
    run_next(runtime)
    messages = {line["message"] for line in lines}
    assert {"attempt started", "checkpoint stored", "attempt ended"} <= messages
    for line in lines:
        assert (line["request_id"], line["job_id"]) == ("trace-7", job_id), line
        assert (line["attempt"], line["worker"]) == (1, runtime.name), line


def test_lines_of_an_attempt_name_its_trace_where_traces_are_told(
    runtime: Runtime, book: JobBook, lines: list[Line]
) -> None:
    tracing = OtelTracing("potstill-worker", exporters=[])
    job_id = book.create(small_job(num_epochs=40))
    run_next(replace(runtime, tracing=tracing))
    tracing.close()
    assert {"attempt started", "checkpoint stored", "attempt ended"} <= {
        line["message"] for line in lines
    }
    assert {line["trace_id"] for line in lines} == {f"{root_of(job_id).trace_id:032x}"}
    (ended,) = (line for line in lines if line["message"] == "attempt ended")
    assert ended["span_id"] == f"{attempt_of(job_id, 1).span_id:016x}"


class NoOrder(BaseModel):
    """What no training process can read."""

    nonsense: str = "nonsense"


def test_output_of_a_child_names_what_it_works_for(
    spawner: ChildSpawner, lines: list[Line]
) -> None:
    child = spawner.spawn("worker.trainer_process", "--device", "cpu")
    with log_fields(job_id="job_1", request_id="trace-7"):
        child.order(NoOrder())
    assert child.wait() != 0
    output = [line for line in lines if line["message"] == "child output"]
    assert any("ValidationError" in line["detail"] for line in output)
    assert {(line["job_id"], line["request_id"]) for line in output} == {("job_1", "trace-7")}
