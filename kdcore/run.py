"""The front door: a spec and its inputs in, a network, its report and its artifacts out."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from kdcore.artifacts import UNKNOWN_PROVENANCE, Artifact, Provenance
from kdcore.compatibility import DatasetFacts, check_job_fits
from kdcore.data import ArrayDataset
from kdcore.devices import choose_compute, computing
from kdcore.distributed import ALONE, World
from kdcore.errors import IncompatibleInputs, OutOfMemory
from kdcore.evaluate_job import evaluate_models
from kdcore.progress import Reporter, RunEvent, StageStarted
from kdcore.report import Report
from kdcore.results import write_results
from kdcore.spec import AnyJob, EvaluateJob, networks_of
from kdcore.teacher import TeacherInput
from kdcore.trainer import JobControls
from kdcore.training_job import JobInputs, train_job

__all__ = ["RunResult", "TeacherInput", "assist", "ignore_events", "never_stop", "run"]


@dataclass(frozen=True)
class RunResult:
    """What a finished job leaves."""

    report: Report
    artifacts: tuple[Artifact, ...]


def ignore_events(event: RunEvent) -> None:
    """Report to nobody."""


def never_stop() -> bool:
    """Let the job run to its end."""
    return False


def run(
    spec: AnyJob,
    *,
    dataset: ArrayDataset,
    transfer_dataset: ArrayDataset | None = None,
    teachers: Sequence[TeacherInput] = (),
    folder: Path,
    device: str = "auto",
    num_threads: int | None = None,
    reporter: Reporter = ignore_events,
    should_stop: Callable[[], bool] = never_stop,
    checkpoint_seconds: float = 20.0,
    provenance: Provenance = UNKNOWN_PROVENANCE,
    world: World = ALONE,
) -> RunResult:
    """Train, evaluate and export what `spec` asks for; of an `evaluate` job only measure.

    Layers that the method leaves open are chosen first, and its stages planned: results name them.
    Writes `checkpoints/` and `artifacts/` below `folder`. If `folder/checkpoints` holds a
    checkpoint of this same job, goes on from it; on CPU the result then has the same bits as
    that of an undisturbed run with the same number of threads.

    With `resources.num_processes` above 1 this is rank 0 of as many processes, of which the others
    call `assist` with the same spec, inputs and folder.

    Args:
        spec: The job.
        dataset: The images and labels; `spec.dataset` is only a name here.
        transfer_dataset: Whose train split is learned from, if the spec names another dataset.
        teachers: One for each of `spec.teachers`, or of `spec.models`, in their order.
        folder: Where to write; made if missing.
        device: "auto", "cpu", "cuda" or "cuda:1".
        num_threads: CPU threads; all usable cores if left out. A resumed job keeps its number.
        reporter: Is told every event, in order, in this thread.
        should_stop: Asked before every step; True ends the run after a checkpoint.
        checkpoint_seconds: Time between checkpoints, besides those that the spec asks for by epoch.
        provenance: What the caller knows of where the job comes from, for the manifest.
        world: The processes that train together, joined by `kdcore.distributed.joined`.

    Raises:
        IncompatibleInputs: spec, dataset and teachers do not fit one another.
        Diverged, OutOfMemory, TimeLimitReached: training cannot go on.
        Interrupted: `should_stop` said so; call again to go on.
        ExportFailed: an exported file does not compute what the network computes.
    """
    reporter(StageStarted(stage="preparing"))
    _check_inputs(spec, dataset, teachers, transfer_dataset, world)
    if isinstance(spec, EvaluateJob):
        compute = choose_compute(device=device, precision="float32", num_threads=num_threads)
        with computing(compute), _memory_errors():
            report, artifacts = evaluate_models(
                spec,
                dataset=dataset,
                networks=teachers,
                folder=folder / "artifacts",
                compute=compute,
                reporter=reporter,
                should_stop=should_stop,
                provenance=provenance,
            )
        return RunResult(report, artifacts)
    with _memory_errors():
        outcome = train_job(
            spec,
            JobInputs(dataset, transfer_dataset, tuple(teachers)),
            folder=folder / "checkpoints",
            device=device,
            num_threads=num_threads,
            controls=JobControls(
                report=reporter,
                should_stop=should_stop,
                max_seconds=spec.limits.max_seconds,
                checkpoint_every_seconds=checkpoint_seconds,
            ),
            world=world,
        )
        with computing(outcome.compute):
            report, artifacts = write_results(outcome, folder / "artifacts", reporter, provenance)
    return RunResult(report, artifacts)


def assist(
    spec: AnyJob,
    *,
    dataset: ArrayDataset,
    transfer_dataset: ArrayDataset | None = None,
    teachers: Sequence[TeacherInput] = (),
    folder: Path,
    device: str = "auto",
    num_threads: int | None = None,
    world: World,
) -> None:
    """Take part in the training of a job that rank 0 of `world` runs, and end with its last step.

    Takes what `run` takes there, and does what `run` decides: stop, save, end. Writes nothing.

    Raises:
        IncompatibleInputs, Diverged, TimeLimitReached, Interrupted: as `run` does at the same step.
        OutOfMemory: this process' device has too little memory.
    """
    _check_inputs(spec, dataset, teachers, transfer_dataset, world)
    if isinstance(spec, EvaluateJob):
        return
    with _memory_errors():
        train_job(
            spec,
            JobInputs(dataset, transfer_dataset, tuple(teachers)),
            folder=folder / "checkpoints",
            device=device,
            num_threads=num_threads,
            controls=JobControls(
                report=ignore_events,
                should_stop=never_stop,
                max_seconds=spec.limits.max_seconds,
                checkpoint_every_seconds=math.inf,
            ),
            world=world,
        )


def _check_inputs(
    spec: AnyJob,
    dataset: ArrayDataset,
    teachers: Sequence[TeacherInput],
    transfer_dataset: ArrayDataset | None,
    world: World,
) -> None:
    wanted = len(networks_of(spec))
    if len(teachers) != wanted:
        noun = "models" if isinstance(spec, EvaluateJob) else "teachers"
        raise IncompatibleInputs(
            f"{noun}_missing",
            f"The spec names {wanted} {noun} and {len(teachers)} were given; give one for each.",
            pointer=f"/{noun}",
        )
    if (len(spec.datasets) == 1) != (transfer_dataset is None):
        raise IncompatibleInputs(
            "transfer_dataset_missing",
            "Give transfer_dataset if the spec names transfer.dataset, and only then.",
            pointer="/transfer/dataset",
        )
    if spec.resources.num_processes != world.size:
        raise IncompatibleInputs(
            "processes_missing",
            f"The spec asks for {spec.resources.num_processes} processes, and the world that runs "
            f"it has {world.size}. Start as many as resources.num_processes says, or change it.",
            pointer="/resources/num_processes",
        )
    check_job_fits(
        spec,
        DatasetFacts.of(dataset.description),
        [teacher.description for teacher in teachers],
        transfer_dataset=(
            DatasetFacts.of(transfer_dataset.description) if transfer_dataset else None
        ),
    )


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn the allocators' errors into one of ours; everything else passes."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise out_of_memory() from error
    except RuntimeError as error:
        # torch's CPU allocator has no class of its own.
        if "can't allocate memory" in str(error):
            raise out_of_memory() from error
        raise


def out_of_memory() -> OutOfMemory:
    """Make the error of a device whose memory ran out, wherever that was."""
    return OutOfMemory(
        "The device has too little memory for this job. Lower training.batch_size, or take a "
        "smaller student.",
        step=0,
    )
