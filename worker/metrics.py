"""What Prometheus reads of a worker: slots, attempts, training, heartbeats, sweeps.

Training pays nothing for it: all comes from what the child tells anyway.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kdcore.progress import Progress
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tables import ExitCause
from worker.gpu_memory import GpuMemoryCollector
from worker.slots import Slot

_log = logging.getLogger(__name__)

_STEP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class MetricsPortTaken(Exception):
    """Another process listens where this worker should serve its metrics."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"Metrics cannot be served at {host}:{port}. Give each worker of a machine a port of "
            "its own in POTSTILL_METRICS_PORT, or 0 to serve none."
        )


class WorkerMetrics:
    """The metrics of one worker, in a registry of its own. Safe to share by threads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each began: noise
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._heartbeat_at: float | None = None
        self._attempts = Counter(
            "potstill_attempts",
            "Attempts that ended here or were closed as lost, by outcome.",
            ("outcome",),
            registry=self.registry,
        )
        for outcome in get_args(ExitCause):
            self._attempts.labels(outcome)  # from 0 on, or its first would be no increase
        self._leases_lost = Counter(
            "potstill_lease_lost",
            "Attempts of other workers that were closed because their lease had run out.",
            registry=self.registry,
        )
        self._step_seconds = Histogram(
            "potstill_training_step_seconds",
            "Mean time of a step, told about twice a second while training.",
            buckets=_STEP_BUCKETS,
            registry=self.registry,
        )
        self._images_per_second = Gauge(
            "potstill_training_images_per_second",
            "Images trained a second; 0 while nothing trains.",
            registry=self.registry,
        )
        self._swept_at = Gauge(
            "potstill_sweep_last_success_timestamp_seconds",
            "When a sweep last succeeded, in seconds since 1970.",
            registry=self.registry,
        )
        Gauge(
            "potstill_heartbeat_age_seconds",
            "Since the running attempt last renewed its lease; 0 while none runs.",
            registry=self.registry,
        ).set_function(self._heartbeat_age)

    def attempt_began(self) -> None:
        """Count the age of heartbeats from now on: claiming was the first."""
        self._heartbeat_at = time.monotonic()

    def heartbeat_succeeded(self) -> None:
        """Note that the lease of the running attempt was renewed."""
        self._heartbeat_at = time.monotonic()

    def attempt_over(self) -> None:
        """Note that no attempt runs any more."""
        self._heartbeat_at = None
        self._images_per_second.set(0.0)

    def attempt_ended(self, outcome: ExitCause) -> None:
        """Count an attempt whose end this worker has written."""
        self._attempts.labels(outcome).inc()

    def leases_lost(self, count: int) -> None:
        """Count attempts that this worker's sweeper has closed as lost."""
        self._leases_lost.inc(count)
        self._attempts.labels("lost").inc(count)

    def trained(self, progress: Progress, *, batch_size: int) -> None:
        """Take what the child tells of its pace; `batch_size` is 0 where there are no steps."""
        self._images_per_second.set(progress.images_per_second)
        if batch_size > 0 and progress.images_per_second > 0:
            self._step_seconds.observe(batch_size / progress.images_per_second)

    def sweep_succeeded(self) -> None:
        """Note the time of a sweep without an error."""
        self._swept_at.set_to_current_time()

    def watch(self, *, slots: Mapping[str, Slot], objects: ObjectStore, device: str) -> None:
        """Tell of these as well; once, when the worker is ready."""
        gauge = Gauge(
            "potstill_worker_slots",
            "Slots for work, by lane and whether they are taken.",
            ("lane", "state"),
            registry=self.registry,
        )
        for lane, slot in slots.items():
            gauge.labels(lane, "busy").set_function(partial(_is_busy, slot))
            gauge.labels(lane, "free").set_function(partial(_is_free, slot))
        self.registry.register(ObjectFailuresCollector(objects))
        if device.startswith("cuda"):
            self.registry.register(GpuMemoryCollector())

    def _heartbeat_age(self) -> float:
        at = self._heartbeat_at
        return 0.0 if at is None else time.monotonic() - at


def _is_busy(slot: Slot) -> float:
    return float(slot.is_taken)


def _is_free(slot: Slot) -> float:
    return float(not slot.is_taken)


class ObjectFailuresCollector(Collector):
    """Tells how often object storage has failed this worker."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def collect(self) -> Iterator[Metric]:
        """Give the one number."""
        yield CounterMetricFamily(
            "potstill_objects_failures",
            "Times that object storage failed, each after all its repeated requests.",
            value=self._objects.num_failures,
        )


@contextmanager
def serving_metrics(settings: Settings, metrics: WorkerMetrics) -> Iterator[None]:
    """Serve the metrics over HTTP where the settings say so.

    Raises:
        MetricsPortTaken: another process listens there.
    """
    host, port = settings.metrics_host, settings.metrics_port
    if port == 0:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry=metrics.registry)
    except OSError as error:
        raise MetricsPortTaken(host, port) from error
    _log.info("serving metrics", extra={"address": f"{host}:{port}"})
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
