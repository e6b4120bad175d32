"""What every part of a worker shares, made once when it starts."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kdstore.capacity import Capacity
from kdstore.db import SessionFactory
from kdstore.errors import QueueUnavailable
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from kdstore.tracing import NO_TRACING, Tracing
from worker.child import ChildSpawner
from worker.claim_pause import ClaimPause
from worker.hand_backs import HandBacks
from worker.inputs import InputCache
from worker.metrics import WorkerMetrics
from worker.scratch import Scratch
from worker.spare import SpareTrainer

_log = logging.getLogger(__name__)

Publish = Callable[[str, str, str | None], None]


class Postbox:
    """Sends messages; while the worker stops it keeps them, lest it takes them itself again."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._lock = threading.Lock()
        self._kept: list[tuple[str, str, str | None]] | None = None

    def post(self, task: str, subject_id: str, queue: str | None = None) -> None:
        """Send a message, or keep it until `deliver`. A broker that is away is no error.

        Without a `queue` it goes to the task's own.
        """
        with self._lock:
            if self._kept is not None:
                self._kept.append((task, subject_id, queue))
                return
        self._send(task, subject_id, queue)

    def hold(self) -> None:
        """Keep all messages from now on."""
        with self._lock:
            self._kept = self._kept or []

    def deliver(self) -> None:
        """Send what was kept, each once."""
        with self._lock:
            kept, self._kept = self._kept or [], None
        for task, subject_id, queue in dict.fromkeys(kept):
            self._send(task, subject_id, queue)

    def _send(self, task: str, subject_id: str, queue: str | None) -> None:
        try:
            self._publish(task, subject_id, queue)
        except QueueUnavailable as error:
            # The row is queued and committed: a sweeper sends it again.
            _log.warning("message not sent", extra={"subject": subject_id, "detail": error.message})


@dataclass(frozen=True)
class Runtime:
    """One worker: its name and device, and what it works with."""

    settings: Settings
    session_factory: SessionFactory
    objects: ObjectStore
    name: str
    device: str
    capacity: Capacity
    num_threads: int
    scratch: Scratch
    inputs: InputCache
    spawner: ChildSpawner
    spare: SpareTrainer
    postbox: Postbox
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    claim_pause: ClaimPause = field(default_factory=ClaimPause)
    tracing: Tracing = NO_TRACING
    hand_backs: HandBacks = field(default_factory=HandBacks)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the worker is to stop: children are asked to stop, jobs are handed back."""
    abandon: threading.Event = field(default_factory=threading.Event)
    """Set when the grace is over: whatever still waits for database or storage gives up."""
