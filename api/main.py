"""The app: every route, in one flat list."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from api import health, openapi, problems, root, scrape
from api.catalog import routes as catalog
from api.datasets import routes as datasets
from api.jobs import history_routes, result_routes
from api.jobs import routes as jobs
from api.keys import routes as keys
from api.metrics import ApiMetrics
from api.middleware.bodies import JsonBodies
from api.middleware.boundary import RequestBoundary
from api.models import routes as models
from api.state import AppState, StreamPace, open_state
from api.tracing import request_telemetry
from api.uploads import routes as uploads
from api.workers import routes as workers
from kdcore import __version__
from kdstore.datasets import BUILTIN_DATASETS, ensure_builtin
from kdstore.db import transaction
from kdstore.errors import QueueUnavailable
from kdstore.queue import VALIDATE_DATASET, publish
from kdstore.settings import Settings
from kdstore.tracing import NO_TRACING, Tracing, open_tracing

SERVICE = "potstill-api"
"""What traces call this service where OTEL_SERVICE_NAME says nothing else."""

_LOG = logging.getLogger("potstill.api")

ROUTERS = (
    root.router,
    health.router,
    scrape.router,
    catalog.router,
    uploads.router,
    models.router,
    datasets.router,
    jobs.router,
    history_routes.router,
    result_routes.router,
    keys.router,
    workers.router,
)


def create_app(
    settings: Settings, *, pace: StreamPace | None = None, tracing: Tracing = NO_TRACING
) -> FastAPI:
    """Make the app; what it needs is opened when it starts, not here. It closes `tracing`."""
    metrics = ApiMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with open_state(settings, pace or StreamPace(), metrics, tracing) as state:
            app.state.potstill = state
            await run_in_threadpool(_offer_builtin_datasets, state)
            yield
            state.stopping.set()
        await run_in_threadpool(tracing.close)

    app = FastAPI(
        title="Potstill",
        version=__version__,
        lifespan=lifespan,
        # The pages that FastAPI would serve load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # Redirects would be built from the Host header, which is a stranger's text.
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        telemetry=request_telemetry(tracing),
    )
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(JsonBodies)
    app.add_middleware(RequestBoundary, metrics=metrics, tracing=tracing)  # added last: outermost
    return app


def app_from_environment() -> FastAPI:
    """Make the app from POTSTILL_ variables: `uvicorn --factory api.main:app_from_environment`."""
    return create_app(Settings(), tracing=open_tracing(SERVICE, os.environ))


def _offer_builtin_datasets(state: AppState) -> None:
    """List the built-in datasets, and have a worker prepare those that are not ready."""
    try:
        for name in BUILTIN_DATASETS:
            with transaction(state.session_factory) as session:
                dataset = ensure_builtin(session, name)
            if dataset.status == "validating":
                publish(state.queue, VALIDATE_DATASET, name)
    except (SQLAlchemyError, QueueUnavailable):
        # The API starts without its database and says so in /readyz; workers offer them as well.
        _LOG.warning("built-in datasets not offered", exc_info=True)
