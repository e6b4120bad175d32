"""Spans reach a collector with the ids that their places name, and never stand in the way."""

import logging
import socket
from collections.abc import Iterator

import pytest

from kdstore.log import current_log_fields
from kdstore.otel import OtelTracing
from kdstore.tracing import TracingMisconfigured, attempt_of, below, root_of
from tests.otlp_collector import Collector


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@pytest.fixture
def tracing(collector: Collector) -> OtelTracing:
    """Sends what it has when it is closed."""
    return OtelTracing("potstill-test", ["otlp"])


def test_span_inside_a_span_is_below_it_with_its_facts(
    tracing: OtelTracing, collector: Collector
) -> None:
    with tracing.span("outer", attempt=2, worker=None), tracing.span("inner") as inner:
        inner.note(step=7)
    tracing.close()
    [outer], [told] = collector.spans("outer"), collector.spans("inner")
    assert (told.trace_id, told.parent_id) == (outer.trace_id, outer.span_id)
    assert outer.facts == {"potstill.attempt": 2}
    assert told.facts == {"potstill.step": 7}
    assert (outer.service, outer.parent_id, outer.failure) == ("potstill-test", "", None)


def test_places_make_one_trace_of_what_several_processes_tell(collector: Collector) -> None:
    api, one, other = (OtelTracing(name, ["otlp"]) for name in ("api", "one", "other"))
    with api.span("request"), api.span("submit", place=root_of("job_1"), kind="producer"):
        pass
    with one.span("attempt", place=attempt_of("job_1", 1), kind="consumer"), one.span("train"):
        pass
    with other.span("attempt", place=attempt_of("job_1", 2), kind="consumer"):
        pass
    with api.span("again", place=below("job_1")):
        pass
    for tracing in (api, one, other):
        tracing.close()
    [request], [submit] = collector.spans("request"), collector.spans("submit")
    assert submit.trace_id == f"{root_of('job_1').trace_id:032x}" != request.trace_id
    assert (submit.parent_id, submit.kind) == ("", "producer")
    assert submit.linked_traces == (request.trace_id,)
    of_job = collector.spans(trace_id=submit.trace_id)
    assert sorted(span.name for span in of_job) == [
        "again",
        "attempt",
        "attempt",
        "submit",
        "train",
    ]
    assert {span.parent_id for span in of_job if span.name in ("attempt", "again")} == {
        submit.span_id
    }
    [train] = collector.spans("train")
    assert train.parent_id == f"{attempt_of('job_1', 1).span_id:016x}"


def test_error_fails_the_span_by_its_name_alone(tracing: OtelTracing, collector: Collector) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("work"):
        raise ValueError("a secret")
    tracing.close()
    [work] = collector.spans()
    assert work.failure == "ValueError"
    assert work.facts == {}


def test_span_with_a_place_that_ends_in_an_error_is_left_for_another_to_tell(
    tracing: OtelTracing, collector: Collector
) -> None:
    place = attempt_of("job_1", 1)
    with pytest.raises(RuntimeError), tracing.span("attempt", place=place), tracing.span("inside"):
        raise RuntimeError
    with tracing.span("attempt", place=place, cause="lost") as span:
        span.fail("lost")
    tracing.close()
    [attempt], [inside] = collector.spans("attempt"), collector.spans("inside")
    assert (attempt.failure, attempt.facts) == ("lost", {"potstill.cause": "lost"})
    assert inside.parent_id == attempt.span_id


def test_lines_logged_inside_have_the_ids_of_the_span(tracing: OtelTracing) -> None:
    assert tracing.ids() == {}
    with tracing.span("attempt", place=attempt_of("job_1", 1)):
        place = attempt_of("job_1", 1)
        ids = {"trace_id": f"{place.trace_id:032x}", "span_id": f"{place.span_id:016x}"}
        assert tracing.ids() == current_log_fields() == ids
        with tracing.span("inside"):
            assert current_log_fields()["trace_id"] == ids["trace_id"]
            assert current_log_fields()["span_id"] != ids["span_id"]
    assert current_log_fields() == {}
    tracing.close()


class TestStandardVariables:
    def test_operator_names_service_and_resource(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "distillery")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=vision")
        tracing = OtelTracing("potstill-api", ["otlp"])
        with tracing.span("work"):
            pass
        tracing.close()
        assert [span.service for span in collector.spans()] == ["distillery"]
        assert collector.headers[0]["x-tenant"] == "vision"

    @pytest.mark.parametrize(("ratio", "num_told"), [("0", 0), ("1", 3)])
    def test_sampler_decides_for_all_of_a_job_alike(
        self,
        collector: Collector,
        monkeypatch: pytest.MonkeyPatch,
        ratio: str,
        num_told: int,
    ) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
        tracing = OtelTracing("potstill-worker", ["otlp"])
        with tracing.span("submit", place=root_of("job_1")):
            pass
        with tracing.span("attempt", place=attempt_of("job_1", 1)), tracing.span("train"):
            pass
        tracing.close()
        assert len(collector.spans()) == num_told

    def test_half_of_the_jobs_are_told_whole_or_not_at_all(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
        api, worker = OtelTracing("api", ["otlp"]), OtelTracing("worker", ["otlp"])
        for number in range(64):
            with api.span("submit", place=root_of(f"job_{number}")):
                pass
            with worker.span("attempt", place=attempt_of(f"job_{number}", 1)):
                pass
        api.close()
        worker.close()
        submitted = {span.trace_id for span in collector.spans("submit")}
        assert submitted == {span.trace_id for span in collector.spans("attempt")}
        assert 0 < len(submitted) < 64

    def test_contradiction_is_told_as_what_to_set(
        self, collector: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
        with pytest.raises(TracingMisconfigured, match="OTEL_"):
            OtelTracing("potstill-api", ["otlp"])


class TestCollectorAway:
    def test_lost_spans_are_said_once_without_an_address_and_so_is_the_end_of_it(
        self, tracing: OtelTracing, collector: Collector, caplog: pytest.LogCaptureFixture
    ) -> None:
        collector.status = 400  # one that is not worth a retry
        with caplog.at_level(logging.INFO, logger="kdstore.otel"):
            for _ in range(3):
                with tracing.span("work"):
                    pass
                tracing.provider.force_flush()
            collector.status = 200
            with tracing.span("work"):
                pass
            assert tracing.close()
        said = [record.message for record in caplog.records if record.name == "kdstore.otel"]
        assert said == [
            "spans are lost: the collector of traces does not take them",
            "spans are sent again",
        ]

    def test_nobody_waits_for_a_collector_that_takes_connections_and_never_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
            tracing = OtelTracing("potstill-worker", ["otlp"])
            for _ in range(1000):
                with tracing.span("work"):
                    pass
            assert not tracing.close()
            silent.accept()[0].close()  # it had been asked
