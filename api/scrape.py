"""`/metrics`: what Prometheus reads."""

import hmac

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from api.errors import KeyMissing
from api.openapi import public_errors_of
from api.state import state_of
from kdstore.errors import KeyInvalid

router = APIRouter(tags=["health"])

_EXAMPLE = 'potstill_jobs{status="queued"} 2.0\n'


@router.get(
    "/metrics",
    summary="Read the service's metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **public_errors_of(KeyMissing, KeyInvalid),
    },
)
def read_metrics(request: Request) -> Response:
    """Tell of requests, queues and parts; nothing of any workspace.

    Where POTSTILL_METRICS_TOKEN is set, it must come as bearer token.
    """
    state = state_of(request)
    wanted = state.settings.metrics_token.get_secret_value()
    if wanted:
        _check(request, wanted)
    return Response(
        state.metrics.exposition(),
        media_type=CONTENT_TYPE_PLAIN_0_0_4,
        headers={"Cache-Control": "no-store"},
    )


def _check(request: Request, wanted: str) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise KeyMissing
    if not hmac.compare_digest(token.encode(), wanted.encode()):
        raise KeyInvalid
