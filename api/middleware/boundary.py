"""The boundary of a request: its id, its one log line, and an answer to the unexpected."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import ApiMetrics
from api.problems import CLIENT_GONE, unexpected_response
from kdstore.log import log_fields
from kdstore.tracing import Tracing

_LOG = logging.getLogger("potstill.api.requests")
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_OWN_ID = re.compile(r"[a-z]{3}_[0-9a-z]{22}")
_LOGGED_PARAMETERS = ("job_id", "model_id", "dataset_id", "upload_id", "key_id")


class RequestBoundary:
    """Outermost: nothing raised inside gets past it before an answer has begun."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        # FastAPI's span of this request is around all of its middleware.
        with log_fields(request_id=request_id, **self._tracing.ids()):
            await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = CLIENT_GONE
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            # One of the two process boundaries: whatever it was, the client learns nothing of it.
            _LOG.exception("unexpected error", extra={"request_id": request_id})
            if has_begun:
                raise  # the answer has begun; only breaking the connection tells that it is cut
            await unexpected_response(request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.observe_request(
                scope["method"], _route(scope), status=status, seconds=seconds
            )
            _log(scope, status=status, seconds=seconds)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return f"req_{secrets.token_hex(10)}"


def _route(scope: Scope) -> str | None:
    """Give the template of the route, such as `/v1/jobs/{job_id}`; None if there is none."""
    return getattr(scope.get("route"), "path", None)


def _log(scope: Scope, *, status: int, seconds: float) -> None:
    state: dict[str, Any] = scope["state"]
    parameters = scope.get("path_params", {})
    fields = {
        "request_id": state["request_id"],
        "operation": getattr(scope.get("endpoint"), "__name__", None),
        "method": scope["method"],
        "status": status,
        "duration_ms": round(1000 * seconds, 2),
    }
    fields |= {name: state[name] for name in ("workspace_id", "key_id") if name in state}
    for name in _LOGGED_PARAMETERS:
        value = parameters.get(name)
        # Only ids that look like ours: the path is a stranger's text.
        if isinstance(value, str) and _OWN_ID.fullmatch(value):
            fields[name] = value
    _LOG.info("request", extra=fields)
