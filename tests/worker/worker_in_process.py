"""A worker inside the test process: everything but the lanes that take messages."""

import secrets
from dataclasses import dataclass, field

from kdstore.capacity import Capacity
from kdstore.db import SessionFactory
from kdstore.objects import ObjectStore
from kdstore.settings import Settings
from worker.child import ChildSpawner
from worker.inputs import InputCache
from worker.runtime import Postbox, Runtime
from worker.scratch import Scratch
from worker.spare import SpareTrainer


@dataclass
class Outbox:
    """Takes the place of the broker: messages in the order they were sent."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    queues: list[str | None] = field(default_factory=list)

    def __call__(self, task: str, subject_id: str, queue: str | None) -> None:
        self.sent.append((task, subject_id))
        self.queues.append(queue)


def quick(settings: Settings) -> Settings:
    """Make settings of a worker that is quick to notice, and saves often."""
    return settings.model_copy(
        update={
            "device": "cpu",
            "heartbeat_seconds": 0.2,
            "checkpoint_every_seconds": 0.1,
            "retry_seconds": 0.01,
        }
    )


def build_runtime(
    settings: Settings,
    *,
    session_factory: SessionFactory,
    objects: ObjectStore,
    spawner: ChildSpawner,
    spare: SpareTrainer,
    outbox: Outbox,
) -> Runtime:
    """Make what the parts of a worker share."""
    name = f"worker-{secrets.token_hex(4)}"
    return Runtime(
        settings=settings,
        session_factory=session_factory,
        objects=objects,
        name=name,
        device="cpu",
        capacity=Capacity("cpu", max_processes=2, memory_bytes=2**30),
        num_threads=1,
        scratch=Scratch(settings.data_dir / "scratch", name=name),
        inputs=InputCache(settings.data_dir / "cache", objects, max_bytes=2**30),
        spawner=spawner,
        spare=spare,
        postbox=Postbox(outbox),
    )
