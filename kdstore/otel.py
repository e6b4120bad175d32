"""Spans told by OpenTelemetry's SDK, which reads its own standard variables. Needs `[otel]`."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from kdcore import __version__
from kdstore.log import log_fields
from kdstore.tracing import Fact, Place, Span, SpanKind, TracingMisconfigured

_log = logging.getLogger(__name__)

_PLACE: ContextVar[Place | None] = ContextVar("span_place", default=None)
_NANOSECONDS: Final = 1_000_000_000
_KINDS: Final[Mapping[SpanKind, trace.SpanKind]] = {
    "internal": trace.SpanKind.INTERNAL,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}
_MAKE_EXPORTER: Final[Mapping[str, Callable[[], SpanExporter]]] = {
    "otlp": OTLPSpanExporter,
    "console": ConsoleSpanExporter,
}


class PlacedIds(RandomIdGenerator):
    """Random ids, except for spans that have a place."""

    def generate_trace_id(self) -> int:
        """Give a trace id of 128 bits."""
        place = _PLACE.get()
        return super().generate_trace_id() if place is None else place.trace_id

    def generate_span_id(self) -> int:
        """Give a span id of 64 bits."""
        place = _PLACE.get()
        if place is None or place.span_id is None:
            return super().generate_span_id()
        return place.span_id


class WatchedExporter(SpanExporter):
    """Says once that spans are lost, and once that they are sent again.

    What the exporter itself logs at every try holds the collector's URL, and is not let out.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that cannot be sent are dropped."""
        result = self._exporter.export(spans)
        has_failed = result is not SpanExportResult.SUCCESS
        if has_failed and not self.has_failed:
            _log.warning("spans are lost: the collector of traces does not take them")
        if self.has_failed and not has_failed:
            _log.info("spans are sent again")
        self.has_failed = has_failed
        return result

    def shutdown(self) -> None:
        """Give up what is on its way."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what the exporter itself keeps."""
        return self._exporter.force_flush(timeout_millis)


class OtelSpan:
    """A span that is told."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **facts: Fact) -> None:
        """Keep facts as attributes."""
        self._span.set_attributes(_attributes(facts))

    def fail(self, cause: str, /) -> None:
        """Mark the span as failed."""
        self._span.set_status(trace.StatusCode.ERROR, cause)


class OtelTracing:
    """Tells spans to the exporters. One a process; nothing of it is global."""

    def __init__(self, service: str, exporters: Sequence[str]) -> None:
        own = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: __version__})
        try:
            # What the operator says of the resource counts for more than what we do.
            self._provider = TracerProvider(
                resource=own.merge(OTELResourceDetector().detect()),
                id_generator=PlacedIds(),
                shutdown_on_exit=False,
            )
            self._exporters = [WatchedExporter(_MAKE_EXPORTER[name]()) for name in exporters]
            for exporter in self._exporters:
                self._provider.add_span_processor(BatchSpanProcessor(exporter))
        except ValueError as error:
            raise TracingMisconfigured("OTEL_", known="set as OpenTelemetry's SDK reads it") from (
                error
            )
        self._tracer = self._provider.get_tracer("potstill", __version__)

    @property
    def provider(self) -> TracerProvider:
        """What FastAPI tells its requests to."""
        return self._provider

    @contextmanager
    def span(
        self,
        name: str,
        /,
        *,
        place: Place | None = None,
        kind: SpanKind = "internal",
        started_at: datetime | None = None,
        **facts: Fact,
    ) -> Iterator[Span]:
        """Tell of what happens inside, as `Tracing.span` says."""
        span = self._start(name, place, kind, started_at, facts)
        try:
            with (
                trace.use_span(span, record_exception=False, set_status_on_exception=False),
                log_fields(**_ids(span)),
            ):
                yield OtelSpan(span)
        except BaseException as error:
            if place is None:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                span.end()
            raise
        span.end()

    def ids(self) -> Mapping[str, str]:
        """Give the ids of the current span."""
        return _ids(trace.get_current_span())

    def close(self) -> bool:
        """Send what has not been sent; False if the last of it was not taken."""
        self._provider.shutdown()
        return not any(exporter.has_failed for exporter in self._exporters)

    def _start(
        self,
        name: str,
        place: Place | None,
        kind: SpanKind,
        started_at: datetime | None,
        facts: Mapping[str, Fact],
    ) -> trace.Span:
        around = trace.get_current_span().get_span_context()
        token = _PLACE.set(place)
        try:
            return self._tracer.start_span(
                name,
                context=None if place is None else self._context_of(place),
                kind=_KINDS[kind],
                attributes=_attributes(facts),
                links=[trace.Link(around)] if place is not None and around.is_valid else [],
                start_time=None if started_at is None else _nanoseconds(started_at),
            )
        finally:
            _PLACE.reset(token)

    def _context_of(self, place: Place) -> Context:
        """Make the context of a span with a place: of its parent, which is another process's."""
        if place.parent_id is None:
            return Context()
        parent = trace.SpanContext(
            place.trace_id,
            place.parent_id,
            is_remote=True,
            trace_flags=self._flags_of(place.trace_id),
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())

    def _flags_of(self, trace_id: int) -> trace.TraceFlags:
        """Decide as the process that began the trace did: samplers go by the trace's id."""
        result = self._provider.sampler.should_sample(Context(), trace_id, "")
        is_sampled = result.decision is Decision.RECORD_AND_SAMPLE
        flags = trace.TraceFlags.SAMPLED if is_sampled else trace.TraceFlags.DEFAULT
        return trace.TraceFlags(flags)


def _attributes(facts: Mapping[str, Fact]) -> dict[str, str | int | float | bool]:
    return {f"potstill.{name}": fact for name, fact in facts.items() if fact is not None}


def _ids(span: trace.Span) -> dict[str, str]:
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * _NANOSECONDS)
