"""`python -m api`: serve the API with the settings of the environment."""

import gc
import logging
import os
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.log import FIELDS
from api.main import SERVICE, create_app
from api.state import AppState
from kdstore import log
from kdstore.settings import Settings
from kdstore.tracing import open_tracing

_LOG = logging.getLogger("potstill.api")
_GRACE_SECONDS = 10
# New objects for a collection of the youngest; and how many of those for one of the next older.
_COLLECTED_AFTER = (50_000, 20, 50)
# Longer than proxies (Caddy: two minutes) and clients keep an idle connection, so that none of them
# sends a request into one that is just being closed.
_KEEP_ALIVE_SECONDS = 130


class Server(uvicorn.Server):
    """A server that tells its streams to end as soon as it is asked to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop."""
        state: AppState | None = getattr(self._app.state, "potstill", None)
        if state is not None:
            state.stopping.set()
        super().handle_exit(sig, frame)


def main() -> None:
    """Bind, say where, and serve until a signal comes."""
    settings = Settings()
    log.configure(settings.log_level, FIELDS, log_format=settings.log_format)
    listener = bind(settings.host, settings.port)
    # Port 0 took a free one; URLs in answers need the real one.
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    app = create_app(settings, tracing=open_tracing(SERVICE, os.environ))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # the boundary logs each request, without its query
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    _spare_the_collector()
    _LOG.info("listening", extra={"address": settings.address})
    with listener:
        Server(config, app).run(sockets=[listener])


def _spare_the_collector() -> None:
    """Let the garbage collector hold requests up less often.

    It would pass over all that has been loaded again and again, 0.1 seconds each time, and with
    many connections open over what belongs to them; hardly any of it is ever garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


def bind(host: str, port: int) -> socket.socket:
    """Listen at an address; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches off Nagle's delay (40 ms an answer) only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


if __name__ == "__main__":
    main()
