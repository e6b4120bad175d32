"""Traces, where an operator asks for them: spans of requests and jobs, told by OpenTelemetry.

Nothing of OpenTelemetry is imported here: `kdstore.otel` needs it, and is imported only where the
standard variables ask for traces. Elsewhere a span costs a function call.

A job has one trace, whose ids follow from the job's own: every worker that takes the job joins it,
and nothing about it is kept (docs/adr/0019-a-job-has-the-trace-that-its-id-names.md).
"""

import hashlib
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_log = logging.getLogger(__name__)

Fact = str | int | float | bool | None
SpanKind = Literal["internal", "producer", "consumer"]

EXTRA: Final = "potstill[otel]"
_EXPORTERS: Final = frozenset({"otlp", "console"})
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


class TracingUnusable(Exception):
    """The environment asks for traces that cannot be told; the message says what to do."""


class TracingExtraMissing(TracingUnusable):
    """The packages that tell traces are not installed."""

    def __init__(self) -> None:
        super().__init__(
            f"OTEL_ variables ask for traces, but OpenTelemetry is not installed: pip install "
            f"'{EXTRA}', or set OTEL_TRACES_EXPORTER=none. No traces are sent."
        )


class TracingMisconfigured(TracingUnusable):
    """A variable asks for something that this service does not have."""

    def __init__(self, variable: str, *, known: str) -> None:
        self.variable = variable
        self.known = known
        super().__init__(f"{variable} must be {known}. No traces are sent.")


@dataclass(frozen=True)
class Place:
    """Where a span is in a trace that several processes write.

    `span_id` None: anywhere below its parent; `parent_id` None: at the root.
    """

    trace_id: int
    span_id: int | None
    parent_id: int | None


def root_of(job_id: str) -> Place:
    """Give the place of a job's submission: the first half of the id's sha256, then a quarter.

    So `printf job_… | sha256sum | cut -c1-32` names the trace of a job.
    """
    digest = hashlib.sha256(job_id.encode()).digest()
    return Place(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]), None)


def below(job_id: str) -> Place:
    """Give a place for something that happens to a job between its attempts."""
    root = root_of(job_id)
    return Place(root.trace_id, None, root.span_id)


def attempt_of(job_id: str, number: int) -> Place:
    """Give the place of an attempt: whoever closes its row can tell of it."""
    root = root_of(job_id)
    digest = hashlib.sha256(f"{job_id}/{number}".encode()).digest()
    return Place(root.trace_id, int.from_bytes(digest[:8]), root.span_id)


class Span(Protocol):
    """Something that takes its time, while it lasts."""

    def note(self, **facts: Fact) -> None:
        """Keep facts on the span, as attributes `potstill.<name>`; None is left out."""

    def fail(self, cause: str, /) -> None:
        """Mark the span as failed, by a word that tells nothing of a stranger's."""


class Tracing(Protocol):
    """Tells spans, or does nothing. Safe to share by threads."""

    @property
    def provider(self) -> "TracerProvider | None":
        """What FastAPI tells its requests to; None where nothing is told."""

    def span(
        self,
        name: str,
        /,
        *,
        place: Place | None = None,
        kind: SpanKind = "internal",
        started_at: datetime | None = None,
        **facts: Fact,
    ) -> AbstractContextManager[Span]:
        """Tell of what happens inside, below the span that is current; log lines have its ids.

        With a `place` it is told there, linked with the span that is current. Such a span is told
        once, by whoever brings it to its end: not at all by one whose inside raises.
        """

    def ids(self) -> Mapping[str, str]:
        """Give `trace_id` and `span_id` of the current span, for logs; nothing outside of one."""

    def close(self) -> bool:
        """Send what has not been sent; False if the collector did not take the last of it.

        A collector that does not answer is waited for as long as OTEL_EXPORTER_OTLP_TIMEOUT says.
        """


class _NoSpan:
    def note(self, **_facts: Fact) -> None:
        pass

    def fail(self, _cause: str, /) -> None:
        pass


class _NoTracing:
    provider = None

    def span(self, _name: str, /, **_facts: object) -> AbstractContextManager[Span]:
        return nullcontext(NO_SPAN)

    def ids(self) -> Mapping[str, str]:
        return {}

    def close(self) -> bool:
        return True


NO_SPAN: Final[Span] = _NoSpan()
NO_TRACING: Final[Tracing] = _NoTracing()


def open_tracing(service: str, environ: Mapping[str, str]) -> Tracing:
    """Tell traces as the standard OTEL_ variables ask; NO_TRACING if they do not.

    `service` is the name of the service where OTEL_SERVICE_NAME gives none. What cannot be done is
    logged as a warning: a service works as well without its traces.
    """
    try:
        return tracing_of(service, environ)
    except TracingUnusable as error:
        _log.warning(str(error))
        return NO_TRACING


def tracing_of(service: str, environ: Mapping[str, str]) -> Tracing:
    """Do as `open_tracing`, for a caller that wants to know.

    Raises:
        TracingUnusable: the variables ask for traces that cannot be told.
    """
    exporters = wanted_exporters(environ)
    if not exporters:
        return NO_TRACING
    try:
        from kdstore.otel import OtelTracing  # noqa: PLC0415  # an extra, and a tenth of a second
    except ImportError as error:
        raise TracingExtraMissing from error
    return OtelTracing(service, exporters)


def wanted_exporters(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Read which exporters the standard variables ask for; none if there are to be no traces.

    OTEL_TRACES_EXPORTER decides; where it is not set, an endpoint asks for OTLP.

    Raises:
        TracingMisconfigured: they ask for one, or for a protocol, that there is not.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    wish = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not wish:
        wish = "otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none"
    wanted = tuple(dict.fromkeys(name.strip() for name in wish.split(",")))
    if wanted == ("none",):
        return ()
    if not _EXPORTERS.issuperset(wanted):
        raise TracingMisconfigured("OTEL_TRACES_EXPORTER", known="otlp, console or none")
    variable = next((name for name in _PROTOCOLS if environ.get(name)), None)
    if "otlp" in wanted and variable is not None and environ[variable] != _PROTOCOL:
        raise TracingMisconfigured(variable, known=f"{_PROTOCOL}, which collectors take at 4318")
    return wanted
