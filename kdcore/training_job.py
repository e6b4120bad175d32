"""The training of a whole job, alone or as one of several processes: inputs in, weights out."""

from dataclasses import dataclass
from pathlib import Path

from kdcore.checkpoints import sha256_of
from kdcore.data import ArrayDataset
from kdcore.devices import Compute, choose_compute, computing
from kdcore.distributed import World, device_of_rank
from kdcore.job_runs import JobRuns, JobSpec, describe_network, layers_of
from kdcore.pairing import has_pairs, pairs_in_words
from kdcore.progress import SpecResolved, StageStarted
from kdcore.resolution import resolve_job
from kdcore.results import Outcome
from kdcore.spec import DistillJob, work_of
from kdcore.teacher import AdmittedTeacher, TeacherInput, admit_teachers, load_teachers
from kdcore.trainer import CheckpointFolder, JobControls, JobTrainer, job_digest


@dataclass(frozen=True)
class JobInputs:
    """What a job is run on; they fit its spec."""

    dataset: ArrayDataset
    transfer_dataset: ArrayDataset | None
    """Whose train split is learned from, if not `dataset`'s."""
    teachers: tuple[TeacherInput, ...]


def train_job(
    spec: JobSpec,
    inputs: JobInputs,
    *,
    folder: Path,
    device: str,
    num_threads: int | None,
    controls: JobControls,
    world: World,
) -> Outcome:
    """Train every run of a job, going on from the newest checkpoint in `folder`.

    Raises:
        IncompatibleInputs: layers or teachers do not fit.
        Diverged, TimeLimitReached, Interrupted: training cannot go on.
    """
    given, spec = spec, _resolved(spec, inputs)
    if spec != given:
        controls.report(SpecResolved(spec=spec))
    checkpoints = CheckpointFolder(folder)
    resumed = checkpoints.newest()
    compute = choose_compute(
        device=device if world.is_alone else device_of_rank(device, world.rank),
        precision=spec.training.precision,
        num_threads=resumed.header.num_threads if resumed else num_threads,
    )
    with computing(compute):
        if inputs.teachers:
            controls.report(StageStarted(stage="teacher"))
        job = JobRuns(
            spec,
            inputs.dataset,
            transfer_dataset=inputs.transfer_dataset,
            teachers=load_teachers(inputs.teachers, compute),
            compute=compute,
            world=world,
        )
        trainer = JobTrainer(
            runs=job.runs,
            make_plan=job.plan,
            evaluate=job.evaluate,
            digest=_digest(spec, inputs),
            compute=compute,
            folder=checkpoints,
            controls=controls,
            world=world,
            resumed=resumed,
        )
        admitted = _admitted(job, spec, inputs, compute)
        if resumed is None:
            for teacher in admitted:
                trainer.say(teacher.message)
            if isinstance(spec, DistillJob) and (layers := pairs_in_words(spec.method)):
                trainer.say(f"layers: {layers}")
        weights = trainer.train()
    return Outcome(
        spec=spec,
        dataset=inputs.dataset,
        transfer_dataset=inputs.transfer_dataset,
        descriptions={run: job.describe(run) for run in weights},
        weights=weights,
        teachers=job.teachers,
        admitted=admitted,
        history=trainer.recorder.history,
        log_lines=trainer.log_lines,
        stages={run: job.stages_of(run) for run in job.runs},
        compute=compute,
    )


def _admitted(
    job: JobRuns, spec: JobSpec, inputs: JobInputs, compute: Compute
) -> tuple[AdmittedTeacher, ...]:
    if not isinstance(spec, DistillJob):
        return ()
    return admit_teachers(
        job.teachers, spec, inputs.dataset, compute, transfer_dataset=inputs.transfer_dataset
    )


def _resolved(spec: JobSpec, inputs: JobInputs) -> JobSpec:
    if not isinstance(spec, DistillJob):
        return spec
    teachers = inputs.teachers
    needs_layers = has_pairs(spec.method) and len(teachers) > 0
    return resolve_job(
        spec,
        student_layers=layers_of(describe_network(spec, inputs.dataset)) if needs_layers else None,
        teacher_layers=layers_of(teachers[0].description) if needs_layers else None,
    )


def _digest(spec: JobSpec, inputs: JobInputs) -> str:
    datasets = [inputs.dataset]
    if inputs.transfer_dataset is not None:
        datasets.append(inputs.transfer_dataset)
    return job_digest(
        work_of(spec),
        *(each.description.model_dump_json() for each in datasets),
        *(sha256_of(teacher.weights) for teacher in inputs.teachers),
    )
