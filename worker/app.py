"""Celery, embedded: one lane a queue, each a consumer with one slot in a thread of its own."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker import state as celery_state
from celery.worker.consumer import Consumer
from kombu.exceptions import ConnectionError as BrokerLost

from kdstore.queue import make_celery
from worker.runtime import Runtime
from worker.slots import Slot
from worker.tasks import register_tasks

_log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_DRAIN_SECONDS = 0.2
_START_SECONDS = 1.0
_DEAF_SECONDS = 5.0


def make_app(runtime: Runtime, slots: Mapping[str, Slot]) -> Any:
    """Make a Celery app with this worker's tasks. Celery ships no types, hence Any."""
    app = make_celery(runtime.settings)
    register_tasks(app, runtime, slots)
    return app


class Lane:
    """Takes messages of its queues, one at a time, until the worker stops.

    Training and ingest have a lane each, so that an upload is looked at while a job trains.
    `slots` holds the slot of every lane of this process, by the first of its queues.
    """

    def __init__(self, runtime: Runtime, queues: Sequence[str], slots: Mapping[str, Slot]) -> None:
        self._runtime = runtime
        self._queues = list(queues)
        self._slots = slots
        self._thread = threading.Thread(target=self._run, name=f"lane-{queues[0]}", daemon=True)

    def start(self) -> None:
        """Begin to take messages."""
        self._thread.start()

    def join(self, *, timeout_seconds: float) -> bool:
        """Wait for the lane to end, with its task; False if it has not."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._runtime.stopping.is_set():
            self._consume()
            # Celery gives up on errors that it does not know, such as a broken message.
            if not self._runtime.stopping.wait(_RESTART_SECONDS):
                _log.warning("lane starts again", extra={"task": self._queues[0]})

    def _consume(self) -> None:
        # An app for each lane: Celery keeps the choice of queues on the app.
        app = make_app(self._runtime, self._slots)
        # The threads of the pool look tasks up in the process's default app, whoever made them.
        app.set_default()
        controller = WorkController(
            app=app,
            queues=self._queues,
            hostname=f"{self._queues[0]}@{self._runtime.name}",
            pool="threads",
            concurrency=1,
            consumer_cls=_consumer_class(self._slots[self._queues[0]], self._runtime.stopping),
            # Celery's event loop is one for the whole process; ours is one a thread.
            use_eventloop=False,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        controller.start()


def _consumer_class(slot: Slot, stopping: threading.Event) -> Any:
    """Make a consumer whose loop ends promptly, and takes no message while its slot is taken.

    Celery's own loop looks up only every two to four seconds, and holds back one message more
    than it works on: with early acknowledgement that job would wait although others are idle.
    """

    class LaneConsumer(Consumer):  # type: ignore[misc]  # Celery ships no types
        def loop(self, _self: Any, connection: Any, task_consumer: Any, *_rest: Any) -> None:
            task_consumer.on_message = self.create_task_handler()
            task_consumer.consume()
            self.on_ready()
            deafness = Deafness()
            while self.connection:
                if stopping.is_set():
                    raise WorkerShutdown(0)
                self.perform_pending_operations()
                if not connection.supports_heartbeats:
                    slot.wait_until_free(stopping)
                    if stopping.is_set():
                        continue
                try:
                    connection.drain_events(timeout=_DRAIN_SECONDS)
                except TimeoutError:
                    if not connection.supports_heartbeats:
                        deafness.check(task_consumer.channel)
                    continue
                # A broker that must hear from us (AMQP) is read on, and may send one too many.
                if not connection.supports_heartbeats:
                    slot.wait_out(stopping, start_seconds=_START_SECONDS)

    return LaneConsumer


class Deafness:
    """Notices a channel that takes no messages for no reason.

    A message whose acknowledgement was lost, as the broker died at that moment, counts for ever
    against the one that a channel may hold; it then never reads, nor sees that its connection is
    broken.
    """

    def __init__(self, *, patience_seconds: float = _DEAF_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._since: float | None = None

    def check(self, channel: Any) -> None:
        """Look while no task runs. Raises BrokerLost, so that Celery connects anew."""
        if channel.qos.can_consume():
            self._since = None
            return
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > self._patience_seconds:
            raise BrokerLost("A message's acknowledgement was lost with its connection.")


def stop_consuming() -> None:
    """Let lanes end that wait for a broker which is away: Celery asks its own flag there."""
    celery_state.should_stop = 0


def allow_consuming() -> None:
    """Undo `stop_consuming`, which Celery keeps for the whole process."""
    celery_state.should_stop = None
