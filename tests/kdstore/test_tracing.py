"""Traces are off unless the standard variables ask for them, and where they cannot be told."""

import hashlib
import logging
import subprocess
import sys

import pytest

from kdstore.tracing import (
    NO_TRACING,
    TracingMisconfigured,
    attempt_of,
    below,
    open_tracing,
    root_of,
    wanted_exporters,
)

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "potstill"}, ()),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ()),
        (HERE, ("otlp",)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, ("otlp",)),
        (HERE | {"OTEL_TRACES_EXPORTER": "none"}, ()),
        (HERE | {"OTEL_SDK_DISABLED": "TRUE"}, ()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", "otlp")),
        (HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("console",)),
    ],
)
def test_standard_variables_decide(environ: dict[str, str], wanted: tuple[str, ...]) -> None:
    assert wanted_exporters(environ) == wanted


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_TRACES_EXPORTER": "otlp,none"}, "OTEL_TRACES_EXPORTER"),
        (HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        (
            HERE | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        ),
    ],
)
def test_what_there_is_not_is_named(environ: dict[str, str], variable: str) -> None:
    with pytest.raises(TracingMisconfigured) as caught:
        wanted_exporters(environ)
    assert caught.value.variable == variable
    assert variable in str(caught.value)


def test_service_without_the_variables_tells_nothing_and_loads_nothing() -> None:
    program = (
        "import sys; from kdstore.tracing import NO_TRACING, open_tracing\n"
        "assert open_tracing('potstill-api', {}) is NO_TRACING\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_missing_extra_is_said_once_with_its_name_and_the_service_goes_on() -> None:
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None  # as if it were not installed\n"
        "from kdstore.tracing import NO_TRACING, open_tracing\n"
        f"assert open_tracing('potstill-api', {HERE}) is NO_TRACING"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr.decode().count("pip install 'potstill[otel]'") == 1


def test_what_cannot_be_told_is_a_warning_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert open_tracing("potstill-api", HERE | {"OTEL_TRACES_EXPORTER": "b3"}) is NO_TRACING
    assert "OTEL_TRACES_EXPORTER must be otlp, console or none" in caplog.text


def test_spans_that_nobody_wants_take_everything() -> None:
    with NO_TRACING.span("attempt", place=attempt_of("job_1", 1), attempt=1) as span:
        span.note(cause="finished")
        span.fail("lost")
        assert NO_TRACING.ids() == {}
    assert NO_TRACING.provider is None
    NO_TRACING.close()


def test_trace_of_a_job_can_be_found_from_its_id_by_hand() -> None:
    digest = hashlib.sha256(b"job_0123456789").hexdigest()
    root = root_of("job_0123456789")
    assert f"{root.trace_id:032x}{root.span_id:016x}" == digest[:48]
    assert root.parent_id is None


def test_everything_about_a_job_is_below_its_root_and_attempts_differ() -> None:
    root, first, second = root_of("job_1"), attempt_of("job_1", 1), attempt_of("job_1", 2)
    places = (first, second, below("job_1"))
    assert {(place.trace_id, place.parent_id) for place in places} == {
        (root.trace_id, root.span_id)
    }
    assert first.span_id != second.span_id
    assert below("job_1").span_id is None
    assert attempt_of("job_2", 1).trace_id != first.trace_id
