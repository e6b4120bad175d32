"""Celery, embedded: one lane a queue, each a consumer with one slot in a thread of its own."""

import logging
import threading
from typing import Any

from celery.worker import WorkController
from celery.worker import state as celery_state

from kdstore.queue import make_celery
from worker.runtime import Runtime
from worker.tasks import register_tasks

_log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0


def make_app(runtime: Runtime) -> Any:
    """Make a Celery app with this worker's tasks. Celery ships no types, hence Any."""
    app = make_celery(runtime.settings)
    register_tasks(app, runtime)
    return app


class Lane:
    """Takes messages of one queue, one at a time, until the worker stops.

    Training and ingest have a lane each, so that an upload is looked at while a job trains.
    """

    def __init__(self, runtime: Runtime, queue: str) -> None:
        self._runtime = runtime
        self._queue = queue
        self._thread = threading.Thread(target=self._run, name=f"lane-{queue}", daemon=True)

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
                _log.warning("lane starts again", extra={"task": self._queue})

    def _consume(self) -> None:
        # An app for each lane: Celery keeps the choice of queues on the app.
        app = make_app(self._runtime)
        # The threads of the pool look tasks up in the process's default app, whoever made them.
        app.set_default()
        controller = WorkController(
            app=app,
            queues=[self._queue],
            hostname=f"{self._queue}@{self._runtime.name}",
            pool="threads",
            concurrency=1,
            # Celery's event loop is one for the whole process; the plain loop is one a thread.
            use_eventloop=False,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        controller.start()


def stop_consuming() -> None:
    """Let every lane of this process end: no new message is taken, running tasks are waited for."""
    celery_state.should_stop = 0


def allow_consuming() -> None:
    """Undo `stop_consuming`, which Celery keeps for the whole process."""
    celery_state.should_stop = None
