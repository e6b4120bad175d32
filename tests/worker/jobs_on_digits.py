"""Jobs on the digits for the worker tests, what became of them, and waiting for it."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from kdcore.spec import EvaluationSpec, Limits, Mlp, Sgd, TrainingSpec, TrainJob
from kdcore.spec.architectures import Activation
from kdstore import artifacts, datasets, jobs, logs, metrics, validation, workspaces
from kdstore.db import SessionFactory, reading, transaction
from kdstore.events import AttemptResumed, JobEvent, parse
from kdstore.events import read as read_events
from kdstore.metrics import Series
from kdstore.objects import ObjectStore
from kdstore.tables import Artifact, Checkpoint, Job, JsonObject
from worker.spare import SpareTrainer

TIMEOUT_SECONDS = 60.0

both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something that another thread or process brings about."""
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not happened():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {TIMEOUT_SECONDS} seconds: {happened}")
        time.sleep(0.01)


def state_of(pid: int) -> str | None:
    """A process's state as the kernel names it (R, S, T for stopped, Z for ended), None if gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be collected does not."""
    return state_of(pid) not in {None, "Z"}


def children_of(pid: int) -> list[int]:
    """Ids of the processes that a process has started, by whichever of its threads."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in file.read_text().split()]
    return found


def parent_of(pid: int) -> int:
    """Id of the process that started a process which runs."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def small_job(
    *,
    num_epochs: int = 2,
    learning_rate: float = 0.05,
    activation: Activation = "relu",
    max_attempts: int = 3,
) -> TrainJob:
    """A job of milliseconds an epoch, exported as weights alone."""
    return TrainJob(
        dataset="digits",
        network=Mlp(hidden=(16,), activation=activation),
        training=TrainingSpec(
            num_epochs=num_epochs, batch_size=64, optimizer=Sgd(learning_rate=learning_rate), seed=3
        ),
        evaluation=EvaluationSpec(latency=False, every_epochs=5),
        exports=("safetensors",),
        limits=Limits(max_attempts=max_attempts),
    )


# Seconds of training: long enough to be disturbed in the middle.
LONG_JOB = small_job(num_epochs=150)


@dataclass(frozen=True)
class Trained:
    """What must be the same, bit for bit, however often a job was interrupted."""

    weights_sha256: str
    series: list[Series]


@dataclass(frozen=True)
class JobBook:
    """Makes jobs in one workspace, and reads what became of them."""

    session_factory: SessionFactory
    workspace_id: str

    def create(self, spec: TrainJob) -> str:
        with transaction(self.session_factory) as session:
            return jobs.create(session, workspace_id=self.workspace_id, spec=spec).id

    def read(self, job_id: str) -> Job:
        with reading(self.session_factory) as session:
            return jobs.get(session, workspace_id=self.workspace_id, job_id=job_id)

    def events(self, job_id: str) -> list[JobEvent]:
        with reading(self.session_factory) as session:
            found = read_events(
                session, workspace_id=self.workspace_id, job_id=job_id, limit=10_000
            )
            return [parse(event) for event in found]

    def has(self, job_id: str, event_type: str) -> bool:
        return any(event.type == event_type for event in self.events(job_id))

    def num_stored(self, job_id: str) -> int:
        """Count the checkpoints stored so far, those that are gone again included."""
        return sum(event.type == "checkpoint_stored" for event in self.events(job_id))

    def has_stored_more(self, job_id: str, num_stored: int) -> bool:
        return self.num_stored(job_id) > num_stored

    def exit_causes(self, job_id: str) -> list[str | None]:
        with reading(self.session_factory) as session:
            found = jobs.attempts_of(session, workspace_id=self.workspace_id, job_ids=[job_id])
        return [attempt.exit_cause for attempt in found[job_id]]

    def series(self, job_id: str) -> list[Series]:
        with reading(self.session_factory) as session:
            return metrics.read(
                session, workspace_id=self.workspace_id, job_id=job_id, max_points=1_000_000
            )

    def trained(self, job_id: str) -> Trained:
        with reading(self.session_factory) as session:
            weights = artifacts.get(
                session,
                workspace_id=self.workspace_id,
                job_id=job_id,
                name="network.safetensors",
            )
        return Trained(weights.sha256, self.series(job_id))

    def resumptions(self, job_id: str) -> list[AttemptResumed]:
        return [event for event in self.events(job_id) if isinstance(event, AttemptResumed)]

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Newest first."""
        with reading(self.session_factory) as session:
            return list(
                session.scalars(
                    select(Checkpoint)
                    .where(Checkpoint.job_id == job_id)
                    .order_by(Checkpoint.total_steps.desc())
                )
            )

    def artifacts(self, job_id: str) -> list[Artifact]:
        with reading(self.session_factory) as session:
            return artifacts.read_all(session, workspace_id=self.workspace_id, job_id=job_id)

    def report(self, job_id: str) -> JsonObject:
        with reading(self.session_factory) as session:
            return jobs.get_report(session, workspace_id=self.workspace_id, job_id=job_id)

    def log(self, job_id: str) -> list[str]:
        with reading(self.session_factory) as session:
            lines = logs.read(session, workspace_id=self.workspace_id, job_id=job_id)
        return [line.message for line in lines]

    def cancel(self, job_id: str) -> None:
        with transaction(self.session_factory) as session:
            jobs.request_cancel(session, workspace_id=self.workspace_id, job_id=job_id)

    def pause(self, job_id: str) -> None:
        with transaction(self.session_factory) as session:
            jobs.request_pause(session, workspace_id=self.workspace_id, job_id=job_id)

    def resume(self, job_id: str) -> None:
        with transaction(self.session_factory) as session:
            jobs.resume(session, workspace_id=self.workspace_id, job_id=job_id)

    def retry(self, job_id: str, *, limits: Limits) -> None:
        """Have a failed job queued again under these limits."""
        with transaction(self.session_factory) as session:
            jobs.retry(session, workspace_id=self.workspace_id, job_id=job_id, limits=limits)


def put_digits(session_factory: SessionFactory, objects: ObjectStore, folder: Path) -> None:
    """Have the digits ready, made before in `folder`: what reading them costs is paid once."""
    files = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        key = datasets.file_key(sha256)
        objects.put_bytes(key, data)
        files.append(datasets.DatasetFile(path.name, key, sha256, len(data)))
    (description,) = (file for file in files if file.name == "dataset.json")
    ready = datasets.ReadyDataset(
        description=json.loads((folder / "dataset.json").read_text()),
        files=files,
        sha256=description.sha256,
    )
    with transaction(session_factory) as session:
        datasets.ensure_builtin(session, "digits")
        fence = validation.claim(session, "dataset", "digits", lease_seconds=60.0)
        assert fence is not None
        datasets.mark_ready(session, fence, ready)


def open_book(session_factory: SessionFactory) -> JobBook:
    """Open the book of a workspace that is made if it is not there."""
    with transaction(session_factory) as session:
        workspace = workspaces.ensure(session, name="distillers")
    return JobBook(session_factory, workspace.id)


def next_trainer_pid(spare: SpareTrainer) -> int:
    """The process that the next attempt will train in."""
    spare.start()
    assert spare._idle is not None
    return spare._idle.pid
