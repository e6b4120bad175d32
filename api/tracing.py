"""How FastAPI tells its requests: each one a span, named by the template of its route."""

from collections.abc import MutableMapping
from typing import Any, Final

from fastapi.telemetry import TelemetryConfig

from kdstore.tracing import Tracing

# Asked every few seconds by machines, which say themselves when they get no answer.
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})


def request_telemetry(tracing: Tracing) -> TelemetryConfig:
    """Make FastAPI's settings: spans go where ours go; its metrics and logs are not wanted.

    It never sets itself up by OTEL_ variables: our own would then be told twice, or not at all.
    """
    return {
        "auto_configure": False,
        "tracing": tracing.provider is not None,
        "tracer_provider": tracing.provider,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "exclude": _is_probe,
    }


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"] in _PROBES
