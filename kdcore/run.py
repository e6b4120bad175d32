"""The front door: a spec and its inputs in, a network, its report and its artifacts out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from kdcore.artifacts import UNKNOWN_PROVENANCE, Artifact, Provenance
from kdcore.checkpoints import sha256_of
from kdcore.compatibility import DatasetFacts, check_job_fits
from kdcore.data import ArrayDataset
from kdcore.devices import choose_compute, computing
from kdcore.errors import IncompatibleInputs, OutOfMemory
from kdcore.evaluate_job import evaluate_models
from kdcore.job_runs import JobRuns, JobSpec, describe_network, layers_of
from kdcore.pairing import has_pairs, pairs_in_words
from kdcore.progress import Reporter, RunEvent, SpecResolved, StageStarted
from kdcore.report import Report
from kdcore.resolution import resolve_job
from kdcore.results import Outcome, write_results
from kdcore.spec import AnyJob, DistillJob, EvaluateJob, networks_of
from kdcore.teacher import TeacherInput, admit_teachers, load_teachers
from kdcore.trainer import CheckpointFolder, JobControls, JobTrainer, job_digest

__all__ = ["RunResult", "TeacherInput", "ignore_events", "never_stop", "run"]


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
) -> RunResult:
    """Train, evaluate and export what `spec` asks for; of an `evaluate` job only measure.

    Layers that the method leaves open are chosen first, and its stages planned: results name them.
    Writes `checkpoints/` and `artifacts/` below `folder`. If `folder/checkpoints` holds a
    checkpoint of this same job, goes on from it; on CPU the result then has the same bits as
    that of an undisturbed run with the same number of threads.

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
        checkpoint_seconds: Time between checkpoints.
        provenance: What the caller knows of where the job comes from, for the manifest.

    Raises:
        IncompatibleInputs: spec, dataset and teachers do not fit one another.
        Diverged, OutOfMemory, TimeLimitReached: training cannot go on.
        Interrupted: `should_stop` said so; call again to go on.
        ExportFailed: an exported file does not compute what the network computes.
    """
    reporter(StageStarted(stage="preparing"))
    _check_inputs(spec, dataset, teachers, transfer_dataset)
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
    given, spec = spec, _resolved(spec, dataset, teachers)
    if spec != given:
        reporter(SpecResolved(spec=spec))
    checkpoints = CheckpointFolder(folder / "checkpoints")
    resumed = checkpoints.newest()
    compute = choose_compute(
        device=device,
        precision=spec.training.precision,
        num_threads=resumed.header.num_threads if resumed else num_threads,
    )
    with computing(compute), _memory_errors():
        if teachers:
            reporter(StageStarted(stage="teacher"))
        job = JobRuns(
            spec,
            dataset,
            transfer_dataset=transfer_dataset,
            teachers=load_teachers(teachers, compute),
            compute=compute,
        )
        trainer = JobTrainer(
            runs=job.runs,
            make_plan=job.plan,
            evaluate=job.evaluate,
            digest=_digest(spec, dataset, teachers, transfer_dataset),
            compute=compute,
            folder=checkpoints,
            controls=JobControls(
                report=reporter,
                should_stop=should_stop,
                max_seconds=spec.limits.max_seconds,
                checkpoint_every_seconds=checkpoint_seconds,
            ),
            resumed=resumed,
        )
        admitted = (
            admit_teachers(job.teachers, spec, dataset, compute, transfer_dataset=transfer_dataset)
            if isinstance(spec, DistillJob)
            else ()
        )
        if resumed is None:
            for teacher in admitted:
                trainer.say(teacher.message)
            if isinstance(spec, DistillJob) and (layers := pairs_in_words(spec.method)):
                trainer.say(f"layers: {layers}")
        weights = trainer.train()
        outcome = Outcome(
            spec=spec,
            dataset=dataset,
            transfer_dataset=transfer_dataset,
            descriptions={run: job.describe(run) for run in weights},
            weights=weights,
            teachers=job.teachers,
            admitted=admitted,
            history=trainer.recorder.history,
            log_lines=trainer.log_lines,
            stages={run: job.stages_of(run) for run in job.runs},
            compute=compute,
        )
        report, artifacts = write_results(outcome, folder / "artifacts", reporter, provenance)
        return RunResult(report, artifacts)


def _check_inputs(
    spec: AnyJob,
    dataset: ArrayDataset,
    teachers: Sequence[TeacherInput],
    transfer_dataset: ArrayDataset | None,
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
    check_job_fits(
        spec,
        DatasetFacts.of(dataset.description),
        [teacher.description for teacher in teachers],
        transfer_dataset=(
            DatasetFacts.of(transfer_dataset.description) if transfer_dataset else None
        ),
    )


def _resolved(spec: JobSpec, dataset: ArrayDataset, teachers: Sequence[TeacherInput]) -> JobSpec:
    if not isinstance(spec, DistillJob):
        return spec
    needs_layers = has_pairs(spec.method) and len(teachers) > 0
    return resolve_job(
        spec,
        student_layers=layers_of(describe_network(spec, dataset)) if needs_layers else None,
        teacher_layers=layers_of(teachers[0].description) if needs_layers else None,
    )


def _digest(
    spec: JobSpec,
    dataset: ArrayDataset,
    teachers: Sequence[TeacherInput],
    transfer_dataset: ArrayDataset | None,
) -> str:
    datasets = [dataset] if transfer_dataset is None else [dataset, transfer_dataset]
    return job_digest(
        spec.model_dump_json(),
        *(each.description.model_dump_json() for each in datasets),
        *(sha256_of(teacher.weights) for teacher in teachers),
    )


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn the allocators' errors into one of ours; everything else passes."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory() from error
    except RuntimeError as error:
        # torch's CPU allocator has no class of its own.
        if "can't allocate memory" in str(error):
            raise _out_of_memory() from error
        raise


def _out_of_memory() -> OutOfMemory:
    return OutOfMemory(
        "The device has too little memory for this job. Lower training.batch_size, or take a "
        "smaller student.",
        step=0,
    )
