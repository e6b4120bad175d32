"""Where in a job's life a fault strikes: each phase is reached, held still, and let go."""

import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

from tests.faults.link import Trap
from tests.faults.site import Site, Worker
from tests.faults.waiting import wait_until

# The worker writes what its child tells at least three times a second.
_SETTLING_SECONDS = 1.5


class Phase(ABC):
    """A point in the life of one job; the worker, or its child, stands still while it is held."""

    name: ClassVar[str]
    changes: ClassVar[Mapping[str, Any]] = {}
    """What the job needs to be caught here; none of it changes what is trained."""
    ends: ClassVar[str] = "succeeded"
    has_child: ClassVar[bool] = False
    """Whether a child trains now; otherwise the worker has at most a spare one."""
    is_owned: ClassVar[bool] = True
    """Whether an attempt owns the job in the database."""

    def __init__(self, site: Site, worker: Worker) -> None:
        self.site = site
        self.worker = worker

    def enter(self) -> str:
        """Submit a job, wait until it is here, and hold it; its id."""
        self.prepare()
        job_id = self.site.submit(**self.changes)
        self.hold(job_id)
        return job_id

    def prepare(self) -> None:  # noqa: B027  # most phases need nothing
        """Do what must be done before the job is submitted."""

    @abstractmethod
    def hold(self, job_id: str) -> None:
        """Wait until the job is here, and hold it."""

    @abstractmethod
    def leave(self) -> None:
        """Let go, if there is still something to let go."""


class Queued(Phase):
    """The worker is frozen when the job comes."""

    name = "queued"
    is_owned = False

    def prepare(self) -> None:
        self.worker.send(signal.SIGSTOP)

    def hold(self, job_id: str) -> None:
        assert self.site.status(job_id) == "queued"

    def leave(self) -> None:
        self.worker.send(signal.SIGCONT)


class _Trapped(Phase):
    """What the worker sends to a server is held on its way."""

    pattern: ClassVar[bytes]
    trap: Trap

    def prepare(self) -> None:
        self.trap = self.worker.database.trap(self.pattern)

    def hold(self, job_id: str) -> None:
        wait_until(self.trap.sprung.is_set, f"job {job_id} is at {self.name}")

    def leave(self) -> None:
        self.trap.release()


class Claim(_Trapped):
    """Inside the transaction that claims, before its commit."""

    name = "claim"
    pattern = rb"INSERT INTO attempts"
    is_owned = False


class Preparing(_Trapped):
    """While the worker fetches the job's inputs."""

    name = "preparing"
    pattern = rb"HTTP/1.1"

    def prepare(self) -> None:
        shutil.rmtree(self.worker.data_dir / "cache", ignore_errors=True)
        self.trap = self.worker.objects.trap(self.pattern)


class CheckpointWrite(_Trapped):
    """While a checkpoint is on its way to storage."""

    name = "checkpoint write"
    pattern = rb"PUT /[^ ]*/checkpoints/"
    has_child = True

    def prepare(self) -> None:
        self.trap = self.worker.objects.trap(self.pattern)

    def hold(self, job_id: str) -> None:
        super().hold(job_id)
        self.worker.send_trainers(signal.SIGSTOP)

    def leave(self) -> None:
        self.worker.send_trainers(signal.SIGCONT)
        super().leave()


class Upload(_Trapped):
    """While an artifact is on its way to storage."""

    name = "upload"
    pattern = rb"PUT /[^ ]*/artifacts/"

    def prepare(self) -> None:
        self.trap = self.worker.objects.trap(self.pattern)


class Commit(_Trapped):
    """Inside the transaction that ends the job, before its commit."""

    name = "commit"
    pattern = rb"INSERT INTO artifacts"


class _InChild(Phase):
    """The child is frozen in one of some stages."""

    stages: ClassVar[AbstractSet[str]]
    has_child = True

    def hold(self, job_id: str) -> None:
        wait_until(
            lambda: self.is_here(job_id) or self.site.is_settled(job_id),
            f"job {job_id} is at {self.name}",
        )
        assert not self.site.is_settled(job_id), f"the job ended before {self.name} was seen"
        self.worker.send_trainers(signal.SIGSTOP)
        time.sleep(_SETTLING_SECONDS)
        stage = self.site.book.read(job_id).stage
        assert stage in self.stages, f"the child went on to {stage} before it could be frozen"

    def is_here(self, job_id: str) -> bool:
        return self.site.book.read(job_id).stage in self.stages

    def leave(self) -> None:
        self.worker.send_trainers(signal.SIGCONT)


class MidStep(_InChild):
    """While a network is trained, after the first checkpoint."""

    name = "mid-step"
    stages = frozenset({"control", "training"})
    num_stored: ClassVar[int] = 1

    def is_here(self, job_id: str) -> bool:
        return super().is_here(job_id) and self.site.book.num_stored(job_id) >= self.num_stored


class Evaluation(_InChild):
    """While the trained networks are measured."""

    name = "evaluation"
    stages = frozenset({"evaluating"})
    changes: ClassVar[Mapping[str, Any]] = {"evaluation": {"latency": True}}


class Export(_InChild):
    """While files are made of the networks."""

    name = "export"
    stages = frozenset({"exporting"})
    changes: ClassVar[Mapping[str, Any]] = {"exports": ["safetensors", "onnx"]}


class Cancel(MidStep):
    """A person has cancelled, and the child has not stopped yet."""

    name = "cancel"
    ends = "cancelled"

    def hold(self, job_id: str) -> None:
        super().hold(job_id)
        self.site.ask(job_id, "cancel")


class Pause(MidStep):
    """A person has paused the job, and the child has not stopped yet; later it goes on."""

    name = "pause"

    def hold(self, job_id: str) -> None:
        super().hold(job_id)
        self.site.ask(job_id, "pause")


PHASES: tuple[type[Phase], ...] = (
    Queued,
    Claim,
    Preparing,
    MidStep,
    CheckpointWrite,
    Evaluation,
    Export,
    Upload,
    Commit,
    Cancel,
    Pause,
)
