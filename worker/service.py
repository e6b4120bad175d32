"""A whole worker: everything made, lanes and sweeper started, and all of it stopped in order."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from kdcore.process_cores import usable_cores
from kdstore.db import make_engine, make_session_factory
from kdstore.objects import ObjectStore
from kdstore.queue import INGEST_QUEUE, TRAINING_QUEUE, TRAINING_QUEUES, make_celery, publish
from kdstore.settings import Settings
from kdstore.tracing import NO_TRACING, Tracing
from worker.app import Lane, allow_consuming, stop_consuming
from worker.capacity import measure_capacity
from worker.child import ChildSpawner
from worker.inputs import InputCache
from worker.metrics import serving_metrics
from worker.retention import run_retention
from worker.runtime import Postbox, Runtime
from worker.scratch import Scratch
from worker.self_service import SelfService
from worker.slots import Slot
from worker.spare import SpareTrainer
from worker.supervisor import run_next
from worker.sweeper import run_sweeper

_log = logging.getLogger(__name__)

_LOADING_SECONDS = 120.0
_SIGNAL_SECONDS = 0.5
# A child is killed after the grace; what it left is uploaded for as long again.
_GRACES = 2
# Then whatever moves bytes gives up, and hands its job back.
_ABANDON_SECONDS = 3.0


def run_worker(settings: Settings, stop: threading.Event, tracing: Tracing = NO_TRACING) -> bool:
    """Work until `stop` is set, then hand everything back; True if that went well.

    Raises:
        SpareFailed: training processes cannot be started here.
        MetricsPortTaken: another process listens where metrics were to be served.
    """
    with _runtime(settings, stop, tracing) as runtime:
        if runtime is None:
            return True
        slots = {TRAINING_QUEUE: Slot(), INGEST_QUEUE: Slot()}
        runtime.metrics.watch(slots=slots, objects=runtime.objects, device=runtime.device)
        with serving_metrics(settings, runtime.metrics):
            return _work(runtime, slots, stop)


def _work(runtime: Runtime, slots: Mapping[str, Slot], stop: threading.Event) -> bool:
    """Start everything, wait for the request to stop, and stop everything."""
    _log.info("worker ready", extra={"worker": runtime.name, "device": runtime.device})
    allow_consuming()
    served = [TRAINING_QUEUES[device] for device in runtime.capacity.served_devices]
    lanes = [Lane(runtime, queues, slots) for queues in (served, [INGEST_QUEUE])]
    self_service = SelfService(runtime, slots[TRAINING_QUEUE], lambda: run_next(runtime))
    sweeper = threading.Thread(
        target=run_sweeper, args=(runtime, self_service), name="sweeper", daemon=True
    )
    retention = threading.Thread(
        target=run_retention, args=(runtime,), name="retention", daemon=True
    )
    for lane in lanes:
        lane.start()
    sweeper.start()
    retention.start()
    # Not without end: a signal that the kernel gave to another thread, as it may to a process that
    # was frozen, is seen by Python only when this one wakes up.
    while not stop.wait(_SIGNAL_SECONDS):
        pass
    has_ended = _stop(runtime, [*lanes, self_service])
    _log.info("worker stopped", extra={"worker": runtime.name})
    return has_ended


def _stop(runtime: Runtime, working: Sequence[Lane | SelfService]) -> bool:
    """Ask everything to end, and wait for it; what does not end in time is handed back for it."""
    runtime.postbox.hold()
    runtime.stopping.set()
    stop_consuming()
    has_ended = _join(working, timeout_seconds=_GRACES * runtime.settings.stop_grace_seconds)
    runtime.abandon.set()
    has_ended = (
        has_ended
        or _join(working, timeout_seconds=_ABANDON_SECONDS)
        or runtime.hand_backs.hand_back_all()
    )
    runtime.postbox.deliver()
    return has_ended


def _join(working: Sequence[Lane | SelfService], *, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    return all(each.join(timeout_seconds=max(0.0, deadline - time.monotonic())) for each in working)


@contextmanager
def _runtime(
    settings: Settings, stop: threading.Event, tracing: Tracing
) -> Iterator[Runtime | None]:
    """Make what the parts of a worker share; None if it is to stop before it could begin."""
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    num_threads = settings.training_threads or usable_cores()
    data_dir = settings.data_dir.absolute()
    with ExitStack() as stack:
        scratch = Scratch(data_dir / "scratch", name=name)
        stack.callback(scratch.close)
        engine = make_engine(settings.database)
        stack.callback(engine.dispose)
        spawner = ChildSpawner(num_threads=num_threads, folder=scratch.folder)
        stack.callback(spawner.close)
        spare = SpareTrainer(spawner, device=settings.device)
        stack.callback(spare.close)
        objects = ObjectStore.from_url(settings.objects)
        sender = make_celery(settings)
        spare.start()
        ready = spare.wait_until_ready(timeout_seconds=_LOADING_SECONDS, should_stop=stop.is_set)
        yield (
            None
            if ready is None
            else Runtime(
                settings=settings,
                session_factory=make_session_factory(engine),
                objects=objects,
                name=name,
                device=ready.device,
                capacity=measure_capacity(
                    ready.device, num_threads=num_threads, num_gpus=ready.num_gpus
                ),
                num_threads=num_threads,
                scratch=scratch,
                inputs=InputCache(
                    data_dir / "cache", objects, max_bytes=settings.input_cache_bytes
                ),
                spawner=spawner,
                spare=spare,
                postbox=Postbox(
                    lambda task, subject_id, queue: publish(sender, task, subject_id, queue=queue)
                ),
                tracing=tracing,
            )
        )
