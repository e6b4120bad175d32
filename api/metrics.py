"""What Prometheus reads of the API: its requests, and what there is to do.

One registry an app, so nothing is shared by apps of one process. The API runs one process a
container, so nothing has to be gathered from several.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.latest import Latest
from api.parts import Parts
from kdstore.backlog import Backlog
from kdstore.objects import ObjectStore

# Replicas that are scraped often, or by several, ask the database no more often than this.
_MAX_AGE_SECONDS = 5.0
_WAIT_SECONDS = 4.0
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ApiMetrics:
    """The metrics of one app. Label values are bounded: no path, id or text of a stranger."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each began: noise
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "potstill_http_request_duration_seconds",
            "From the request's head to the last byte of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def observe_request(
        self, method: str, route: str | None, *, status: int, seconds: float
    ) -> None:
        """Count one request; `route` is the template, None where no route was found."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route or "unmatched", str(status)).observe(seconds)

    @contextmanager
    def watching(
        self, *, parts: Parts, backlog: Latest[Backlog], objects: ObjectStore
    ) -> Iterator[None]:
        """Tell of these as well, as long as the app runs."""
        collector = InstallationCollector(parts, backlog, objects)
        self._registry.register(collector)
        try:
            yield
        finally:
            self._registry.unregister(collector)

    def exposition(self) -> bytes:
        """Write all in Prometheus' text format."""
        return generate_latest(self._registry)


class InstallationCollector(Collector):
    """What every replica tells alike: read it with `max`, not with `sum`.

    While the database is away its numbers are left out, and `potstill_part_up` says so.
    """

    def __init__(self, parts: Parts, backlog: Latest[Backlog], objects: ObjectStore) -> None:
        self._parts = parts
        self._backlog = backlog
        self._objects = objects

    def describe(self) -> Iterator[Metric]:
        """Name nothing: to be registered must ask no database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Give the newest numbers; this waits a few seconds at most."""
        answer = self._backlog.ask(max_age_seconds=_MAX_AGE_SECONDS)
        down = self._parts.down(max_age_seconds=_MAX_AGE_SECONDS)
        up = GaugeMetricFamily(
            "potstill_part_up", "Whether a part can be used (1) or not (0).", labels=("part",)
        )
        for part in self._parts.probes:
            up.add_metric((part,), float(part not in down))
        yield up
        yield CounterMetricFamily(
            "potstill_objects_failures",
            "Times that object storage failed, each after all its repeated requests.",
            value=self._objects.num_failures,
        )
        backlog = _answered(answer)
        if backlog is not None:
            yield from _families(backlog)


def _answered(answer: Future[Backlog]) -> Backlog | None:
    try:
        return answer.result(timeout=_WAIT_SECONDS)
    except (SQLAlchemyError, TimeoutError):
        return None


def _families(backlog: Backlog) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "potstill_jobs", "Jobs that have not ended, by status.", labels=("status",)
    )
    for status, count in backlog.num_jobs.items():
        jobs.add_metric((status,), count)
    depth = GaugeMetricFamily(
        "potstill_queue_depth", "Jobs, models and datasets that wait.", labels=("queue",)
    )
    age = GaugeMetricFamily(
        "potstill_queue_oldest_age_seconds",
        "How long the oldest in a queue has waited; 0 if none waits.",
        labels=("queue",),
    )
    for queue, waiting in backlog.queues.items():
        depth.add_metric((queue,), waiting.depth)
        age.add_metric((queue,), waiting.oldest_age_seconds)
    uploads = GaugeMetricFamily(
        "potstill_uploads_open", "Uploads begun and not completed.", value=backlog.num_open_uploads
    )
    yield from (jobs, depth, age, uploads)
