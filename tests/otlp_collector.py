"""A collector of traces: takes OTLP over HTTP as real ones do, decodes it, and keeps the spans."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Value = str | int | float | bool


@dataclass(frozen=True)
class TracedSpan:
    """A span as the collector got it; ids in hexadecimal, `parent_id` empty at a root."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    facts: Mapping[str, Value]
    failure: str | None
    linked_traces: tuple[str, ...]
    seconds: float


class Collector:
    """Listens at a free port while it is used in `with`."""

    def __init__(self, *, status: int = 200) -> None:
        self.status = status
        self.headers: list[Mapping[str, str]] = []
        self._spans: list[TracedSpan] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Keep the spans of one request."""
        spans = [
            _read(span, service=str(_values(resource.resource.attributes)["service.name"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self.headers.append(headers)
            self._spans += spans

    def spans(self, *names: str, trace_id: str = "") -> list[TracedSpan]:
        """Give the spans so far: of these names, of this trace, or all."""
        with self._lock:
            kept = list(self._spans)
        return [
            span
            for span in kept
            if (not names or span.name in names) and trace_id in ("", span.trace_id)
        ]


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # so named by http.server
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces" and collector.status == 200:
                collector.take(body, dict(self.headers))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # so named there
            pass

    return Handler


def _read(span: Span, *, service: str) -> TracedSpan:
    return TracedSpan(
        service=service,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        facts=_values(span.attributes),
        failure=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
        linked_traces=tuple(link.trace_id.hex() for link in span.links),
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _values(pairs: "list[KeyValue]") -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else ""
    return found
