"""From a claimed job to the order for its child: inputs on disk, newest checkpoints beside them."""

import logging
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from kdcore.manifest import ManifestAttempt
from kdcore.spec import AnyJob, networks_of, parse_network
from kdstore import datasets, jobs, models
from kdstore.db import reading
from kdstore.errors import KdstoreError, ObjectNotFound
from kdstore.objects import Check, go_on
from kdstore.tables import Checkpoint, Dataset, Model
from worker.inputs import StoredFile
from worker.messages import TeacherFiles, TrainOrder
from worker.runtime import Runtime
from worker.threads import choose_threads

_log = logging.getLogger(__name__)

# The newest, and the one before in case the newest is damaged.
_FETCHED_CHECKPOINTS = 2


class InputNotReady(KdstoreError):
    """A dataset or model that a job names is not ready."""

    code = "input_not_ready"

    def __init__(self, wanted: str, status: str) -> None:
        self.wanted = wanted
        self.status = status
        super().__init__(f"{wanted} is {status}. Wait until it is ready, then retry the job.")


def make_order(
    runtime: Runtime,
    claim: jobs.Claim,
    spec: AnyJob,
    *,
    folder: Path,
    check: Check = go_on,
) -> TrainOrder:
    """Put everything that the job needs below `folder`, and write the order.

    Whatever `check` raises while it fetches is raised.

    Raises:
        NotFound: a dataset or model is gone.
        InputNotReady: one is not ready.
        InputDamaged: one is not what it was.
        StorageError: one cannot be read.
    """
    check()
    with reading(runtime.session_factory) as session:
        dataset, *others = (
            datasets.get(session, workspace_id=claim.workspace_id, dataset_id=dataset_id)
            for dataset_id in spec.datasets
        )
        teachers = _teachers(session, claim, spec)
        attempts = _attempts(session, claim)
    dataset_folder = _place_dataset(runtime, dataset, folder / "dataset", check=check)
    transfer_folders = [
        _place_dataset(runtime, other, folder / "transfer-dataset", check=check) for other in others
    ]
    teacher_files = tuple(
        _place_teacher(runtime, teacher, folder / f"teacher-{index}.safetensors", check=check)
        for index, teacher in enumerate(teachers)
    )
    order = TrainOrder(
        spec=spec,
        dataset=dataset_folder,
        transfer_dataset=transfer_folders[0] if transfer_folders else None,
        teachers=teacher_files,
        folder=folder / "run",
        device=runtime.settings.device,
        num_threads=_num_threads(runtime, spec, dataset, teacher_files),
        memory_bytes=_memory_bytes(runtime, spec),
        checkpoint_seconds=runtime.settings.checkpoint_every_seconds,
        job_id=claim.fence.job_id,
        attempts=attempts,
    )
    _place_checkpoints(runtime, claim, order.folder / "checkpoints", check=check)
    return order


def _memory_bytes(runtime: Runtime, spec: AnyJob) -> int | None:
    # The processes of a job share the memory as well.
    limit = runtime.settings.training_memory_bytes
    return limit // spec.resources.num_processes if limit else None


def _num_threads(
    runtime: Runtime,
    spec: AnyJob,
    dataset: Dataset,
    teachers: Sequence[TeacherFiles],
) -> int:
    # The processes of a job share the cores.
    available = max(1, runtime.num_threads // spec.resources.num_processes)
    if runtime.settings.training_threads or dataset.description is None:
        return available
    return choose_threads(
        spec,
        dataset=dataset.description,
        teachers=[teacher.description for teacher in teachers],
        available=available,
    )


def _teachers(session: Session, claim: jobs.Claim, spec: AnyJob) -> list[Model]:
    return [
        models.get(session, workspace_id=claim.workspace_id, model_id=model_id)
        for model_id in networks_of(spec)
    ]


def _attempts(session: Session, claim: jobs.Claim) -> tuple[ManifestAttempt, ...]:
    job_id = claim.fence.job_id
    found = jobs.attempts_of_one(session, workspace_id=claim.workspace_id, job_id=job_id)
    return tuple(
        ManifestAttempt(
            number=attempt.number,
            worker=attempt.worker,
            device=attempt.device,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            exit_cause=attempt.exit_cause,
            resumed_from_step=attempt.resumed_from_step,
        )
        for attempt in found
    )


def _place_dataset(runtime: Runtime, dataset: Dataset, folder: Path, *, check: Check) -> Path:
    if dataset.status != "ready":
        raise InputNotReady(f"Dataset {dataset.id}", dataset.status)
    for file in datasets.files_of(dataset):
        stored = StoredFile(file.object_key, file.sha256)
        runtime.inputs.place(stored, folder / file.name, check=check)
    return folder


def _place_teacher(runtime: Runtime, model: Model, path: Path, *, check: Check) -> TeacherFiles:
    if model.object_key is None or model.sha256 is None or model.description is None:
        raise InputNotReady(f"Model {model.id}", model.status)
    runtime.inputs.place(StoredFile(model.object_key, model.sha256), path, check=check)
    return TeacherFiles(description=parse_network(model.description), weights=path)


def _place_checkpoints(runtime: Runtime, claim: jobs.Claim, folder: Path, *, check: Check) -> None:
    """Fetch the newest checkpoints under the names that kdcore gives them, digests beside them.

    Their bytes are checked by kdcore when it reads them; one that is gone is left out, and training
    goes on from the one before, or from the start. While storage is away none is left out: the
    attempt would begin anew, and what it passes over is forgotten.
    """
    newest: dict[int, Checkpoint] = {}
    for checkpoint in claim.checkpoints:  # newest first
        newest.setdefault(checkpoint.total_steps, checkpoint)
    for checkpoint in list(newest.values())[:_FETCHED_CHECKPOINTS]:
        path = folder / f"checkpoint-{checkpoint.total_steps:010d}.safetensors"
        try:
            runtime.inputs.fetch(checkpoint.object_key, path, check=check)
        except ObjectNotFound as error:
            _log.warning(
                "checkpoint is gone",
                extra={"job_id": claim.fence.job_id, "detail": error.code},
            )
            continue
        path.with_suffix(".sha256").write_text(checkpoint.sha256)
