"""Requests are spans named by their route, and the trace of a job begins when it is queued."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from api.main import SERVICE, create_app
from kdstore.otel import OtelTracing
from kdstore.settings import Settings
from kdstore.tracing import root_of
from tests.api.log_lines import keeping_lines
from tests.otlp_collector import Collector

Client = Any  # classes of conftest.py, which tests cannot import
Rows = Any

SPEC = {"kind": "train", "network": {"architecture": "mlp", "hidden": [8]}}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def tracing(collector: Collector) -> OtelTracing:
    return OtelTracing(SERVICE, ["otlp"])


@pytest.fixture
def app(settings: Settings, tracing: OtelTracing) -> FastAPI:
    return create_app(settings, tracing=tracing)


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    with keeping_lines() as kept:
        yield kept


def test_request_is_named_by_the_template_of_its_route(
    client: Client, rows: Rows, tracing: OtelTracing, collector: Collector
) -> None:
    client.get(f"/v1/jobs/{rows.job()}")
    client.get("/v1/jobs/job_nothing")
    client.get("/no/such/address")
    tracing.provider.force_flush()
    named = [(span.name, span.facts["http.response.status_code"]) for span in collector.spans()]
    assert named == [
        ("GET /v1/jobs/{job_id}", 200),
        ("GET /v1/jobs/{job_id}", 404),
        ("GET", 404),
    ]
    assert {(span.service, span.kind) for span in collector.spans()} == {(SERVICE, "server")}


def test_probes_are_not_told(client: Client, tracing: OtelTracing, collector: Collector) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    tracing.provider.force_flush()
    assert collector.spans() == []


def test_no_key_and_no_body_is_told(
    client: Client, rows: Rows, tracing: OtelTracing, collector: Collector
) -> None:
    client.post("/v1/jobs", json=SPEC | {"dataset": rows.ready_dataset(), "name": "my secret"})
    tracing.provider.force_flush()
    told = str(collector.spans())
    assert client.token not in told
    assert "my secret" not in told


def test_request_goes_on_with_the_trace_of_its_caller(
    client: Client, tracing: OtelTracing, collector: Collector
) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    client.get("/v1/jobs", headers={"traceparent": parent})
    tracing.provider.force_flush()
    [span] = collector.spans()
    assert f"00-{span.trace_id}-{span.parent_id}-01" == parent


def test_job_begins_a_trace_of_its_own_that_leads_back_to_the_request(
    client: Client, rows: Rows, tracing: OtelTracing, collector: Collector
) -> None:
    spec = SPEC | {"dataset": rows.ready_dataset()}
    job_id = client.post("/v1/jobs", json=spec).json()["id"]
    tracing.provider.force_flush()
    [request], [submit] = collector.spans("POST /v1/jobs"), collector.spans("submit job")
    assert submit.trace_id == f"{root_of(job_id).trace_id:032x}"
    assert submit.span_id == f"{root_of(job_id).span_id:016x}"
    assert submit.linked_traces == (request.trace_id,)
    assert submit.facts == {"potstill.job_id": job_id}


def test_answer_that_is_given_again_begins_no_second_trace(
    client: Client, rows: Rows, tracing: OtelTracing, collector: Collector
) -> None:
    spec = SPEC | {"dataset": rows.ready_dataset()}
    for _ in range(2):
        client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
    tracing.provider.force_flush()
    assert len(collector.spans("POST /v1/jobs")) == 2
    assert len(collector.spans("submit job")) == 1


def test_job_that_is_resumed_goes_on_in_its_trace(
    client: Client, rows: Rows, tracing: OtelTracing, collector: Collector
) -> None:
    job_id = rows.job()
    client.post(f"/v1/jobs/{job_id}/pause")
    client.post(f"/v1/jobs/{job_id}/resume")
    tracing.provider.force_flush()
    [again] = collector.spans("queue job again")
    root = root_of(job_id)
    assert (again.trace_id, again.parent_id) == (f"{root.trace_id:032x}", f"{root.span_id:016x}")
    assert again.linked_traces == (collector.spans("POST /v1/jobs/{job_id}/resume")[0].trace_id,)


def test_lines_of_a_request_have_the_ids_of_its_trace(
    client: Client,
    rows: Rows,
    tracing: OtelTracing,
    collector: Collector,
    lines: list[dict[str, Any]],
) -> None:
    job_id = client.post("/v1/jobs", json=SPEC | {"dataset": rows.ready_dataset()}).json()["id"]
    tracing.provider.force_flush()
    [request] = collector.spans("POST /v1/jobs")
    [line] = [line for line in lines if line["message"] == "request"]
    assert (line["trace_id"], line["span_id"]) == (request.trace_id, request.span_id)
    [published] = [line for line in lines if line["message"] == "published"]
    assert published["trace_id"] == f"{root_of(job_id).trace_id:032x}"


class TestOff:
    @pytest.fixture
    def app(self, settings: Settings, collector: Collector) -> FastAPI:
        """The app as it is without OTEL_ variables."""
        return create_app(settings)

    def test_nothing_is_told_and_lines_have_no_ids(
        self,
        client: Client,
        collector: Collector,
        lines: list[dict[str, Any]],
    ) -> None:
        client.get("/v1/jobs")
        assert [line["message"] for line in lines] == ["request"]
        assert not {"trace_id", "span_id"} & lines[0].keys()
        assert collector.spans() == []
