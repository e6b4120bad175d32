"""Traces: whether they are asked for, can be told, and are taken by their collector."""

from collections.abc import Mapping

from doctor.findings import Finding
from kdstore.tracing import NO_TRACING, TracingExtraMissing, TracingUnusable, tracing_of

_NAME = "traces"


def examine_traces(environ: Mapping[str, str]) -> Finding:
    """Send a span of our own as the standard variables ask, if they do."""
    try:
        tracing = tracing_of("potstill-doctor", environ)
    except TracingExtraMissing as error:
        return Finding(_NAME, "warning", "OpenTelemetry is not installed", str(error))
    except TracingUnusable as error:
        return Finding(_NAME, "warning", "cannot be sent as OTEL_ variables ask", str(error))
    if tracing is NO_TRACING:
        return Finding(_NAME, "ok", "off: no OTEL_ variable asks for them")
    with tracing.span("doctor"):
        pass
    if tracing.close():
        return Finding(_NAME, "ok", "the collector takes them")
    return Finding(
        _NAME,
        "warning",
        "the collector does not take them",
        "Check OTEL_EXPORTER_OTLP_ENDPOINT: OTLP over HTTP, at port 4318 as a rule.",
    )
