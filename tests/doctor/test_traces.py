"""The doctor sends a span as the service would, and says which extra is missing."""

import json
import subprocess
import sys

import pytest

from doctor.traces import examine_traces
from tests.otlp_collector import Collector


def test_traces_that_nobody_asks_for_are_off() -> None:
    finding = examine_traces({})
    assert (finding.verdict, finding.detail) == ("ok", "off: no OTEL_ variable asks for them")


def examine(url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)  # OpenTelemetry reads the process's own
    finding = examine_traces(environ)
    assert url not in f"{finding.detail} {finding.advice}"
    return finding.verdict, finding.advice


def test_collector_that_takes_a_span_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector:
        assert examine(collector.url, monkeypatch) == ("ok", "")
        assert [span.name for span in collector.spans()] == ["doctor"]


def test_collector_that_is_not_there_or_refuses_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Collector(status=403) as collector:
        refused = examine(collector.url, monkeypatch)
    absent = examine(collector.url, monkeypatch)
    assert refused == absent
    assert refused[0] == "warning"
    assert "4318" in refused[1]


def test_exporter_that_there_is_not_is_named() -> None:
    finding = examine_traces({"OTEL_TRACES_EXPORTER": "jaeger"})
    assert finding.verdict == "warning"
    assert "otlp, console or none" in finding.advice


def test_missing_extra_is_named() -> None:
    program = (
        "import dataclasses, json, sys; sys.modules['opentelemetry.sdk'] = None  # not installed\n"
        "from doctor.traces import examine_traces\n"
        "print(json.dumps(dataclasses.asdict(examine_traces({'OTEL_TRACES_EXPORTER': 'otlp'}))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    finding = json.loads(done.stdout)
    assert finding["verdict"] == "warning"
    assert "pip install 'potstill[otel]'" in finding["advice"]
