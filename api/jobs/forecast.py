"""What a job would be and take: networks' costs, teacher's accuracy, memory, time, warnings."""

from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.datasets.facts import image_bytes
from api.jobs.checks import CheckedEvaluation, CheckedJob, CheckedModel
from api.jobs.schemas import Estimate, JobValidation, ModelFacts, NetworkCost
from api.jobs.work import training_steps
from api.schemas import JsonObject
from kdcore.compatibility import shape_text
from kdcore.errors import SpecInvalid
from kdcore.pairing import has_pairs
from kdcore.spec import DistillJob, EvaluateJob, OptimizerSpec, Sgd, TrainJob, parse_job
from kdcore.spec.runs import peer_architectures, plan_runs
from kdstore.tables import Attempt, Job, JobReport, Model

_BYTES_PER_VALUE = 4  # float32: weights, gradients and moments
_JOBS_LOOKED_AT = 50
_ACTIVATIONS = "The memory that activations take is not counted."


def forecast(
    session: Session, *, workspace_id: str, checked: CheckedJob | CheckedEvaluation
) -> JobValidation:
    """Describe a job that has been checked; nothing is created."""
    if isinstance(checked, CheckedEvaluation):
        return _forecast_evaluation(session, workspace_id=workspace_id, checked=checked)
    job = checked.job
    cost = NetworkCost(
        parameters=checked.cost.parameters if checked.cost else None,
        flops=checked.cost.flops if checked.cost else None,
    )
    memory = _memory(checked)
    estimate = Estimate(
        memory_bytes_at_least=memory.device_bytes if memory else None,
        checkpoint_copy_bytes=memory.checkpoint_copy_bytes if memory else None,
        image_bytes=_image_bytes(checked),
        training_steps=training_steps(job, _class_counts(checked)),
        training_seconds=_training_seconds(session, workspace_id=workspace_id, checked=checked),
    )
    return JobValidation(
        spec=job.model_dump(mode="json"),
        teachers=[
            _facts(session, workspace_id=workspace_id, dataset_id=job.dataset, checked=teacher)
            for teacher in checked.teachers
        ],
        models=[],
        student=cost if isinstance(job, DistillJob) else None,
        network=cost if isinstance(job, TrainJob) else None,
        estimate=estimate,
        warnings=_warnings(checked, estimate),
    )


def _forecast_evaluation(
    session: Session, *, workspace_id: str, checked: CheckedEvaluation
) -> JobValidation:
    job = checked.job
    values = sum(each.model.parameters or 0 for each in checked.models)
    return JobValidation(
        spec=job.model_dump(mode="json"),
        teachers=[],
        models=[
            _facts(session, workspace_id=workspace_id, dataset_id=job.dataset, checked=each)
            for each in checked.models
        ],
        student=None,
        network=None,
        estimate=Estimate(
            memory_bytes_at_least=values * _BYTES_PER_VALUE,
            checkpoint_copy_bytes=0,
            image_bytes=image_bytes(checked.dataset),
            training_steps=0,
            training_seconds=None,
        ),
        warnings=[_ACTIVATIONS],
    )


def _facts(
    session: Session, *, workspace_id: str, dataset_id: str, checked: CheckedModel
) -> ModelFacts:
    model = checked.model
    return ModelFacts(
        model=model.id,
        parameters=model.parameters,
        flops=model.flops,
        accuracy=_accuracy(session, workspace_id=workspace_id, dataset_id=dataset_id, model=model),
    )


def _accuracy(
    session: Session, *, workspace_id: str, dataset_id: str, model: Model
) -> float | None:
    """Find what a report says of this teacher on this dataset: of its own job, or as a teacher."""
    reports = (
        select(Job.kind, JobReport.body)
        .join(Job, Job.id == JobReport.job_id)
        .where(Job.workspace_id == workspace_id, Job.spec["dataset"].as_string() == dataset_id)
        .order_by(Job.created_at.desc())
        .limit(1)
    )
    own = session.execute(reports.where(Job.id == model.source_job_id)).first()
    if own is not None:
        return _test_accuracy(own.body, "network" if own.kind == "train" else "student")
    taught = session.execute(
        reports.where(
            Job.kind == "distill",
            Job.spec["teachers", 0, "model"].as_string() == model.id,
            # Of several teachers the report's column `teacher` is what they answer together.
            Job.spec["teacher_average"].as_string().is_(None),
        )
    ).first()
    return _test_accuracy(taught.body, "teacher") if taught is not None else None


def _test_accuracy(report: JsonObject, run: str) -> float | None:
    accuracy = (
        report.get("columns", {}).get(run, {}).get("splits", {}).get("test", {}).get("accuracy")
    )
    return accuracy if isinstance(accuracy, float) else None


@dataclass(frozen=True)
class _Memory:
    device_bytes: int
    """What is on the device for sure. Activations depend on how the device computes, and images
    are held only where there is room."""
    checkpoint_copy_bytes: int


def _memory(checked: CheckedJob) -> _Memory | None:
    """Add up what networks and their training take; None if a network's size is unknown."""
    parameters = {run: cost.parameters for run, cost in checked.costs.items() if cost is not None}
    if len(parameters) < len(checked.costs):
        return None
    moments = _moments(checked.job.training.optimizer)
    peers = sum(parameters[run] for run in peer_architectures(checked.job))
    at_once, copied = [], []
    for run in plan_runs(checked.job):
        trained = parameters[run.name] + (peers if run.name == "student" else 0)
        # An earlier run that teaches; the teachers of the job stay all the while.
        teacher = parameters.get(run.taught_by, 0) if run.taught_by else 0
        # Weights, gradients, and what the optimizer keeps of each; gradients are not saved.
        at_once.append(trained * (2 + moments) + teacher)
        copied.append(trained * (1 + moments))
    frozen = sum(teacher.model.parameters or 0 for teacher in checked.teachers)
    return _Memory(
        device_bytes=(max(at_once) + frozen) * _BYTES_PER_VALUE,
        checkpoint_copy_bytes=max(copied) * _BYTES_PER_VALUE,
    )


def _image_bytes(checked: CheckedJob) -> int:
    return sum(map(image_bytes, filter(None, (checked.dataset, checked.transfer_dataset))))


def _moments(optimizer: OptimizerSpec) -> int:
    if isinstance(optimizer, Sgd):
        return 1 if optimizer.momentum > 0 else 0
    return 2


def _training_seconds(session: Session, *, workspace_id: str, checked: CheckedJob) -> float | None:
    """Scale the newest finished job of the same method, networks and data, by steps."""
    job, class_counts = checked.job, _class_counts(checked)
    wanted = _what_costs_time(job.model_dump(mode="json"))
    finished = session.execute(
        select(Job.id, Job.spec)
        .where(Job.workspace_id == workspace_id, Job.status == "succeeded", Job.kind == job.kind)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(_JOBS_LOOKED_AT)
    )
    for job_id, spec in finished:
        like = _like(spec) if _what_costs_time(spec) == wanted else None
        if like is not None:
            seconds = session.execute(
                select(func.sum(Attempt.trained_seconds)).where(Attempt.job_id == job_id)
            ).scalar_one()
            per_step = float(seconds or 0.0) / training_steps(like, class_counts)
            return per_step * training_steps(job, class_counts) if per_step > 0 else None
    return None


def _class_counts(checked: CheckedJob) -> tuple[int, ...]:
    """Give the sizes of the classes that are learned from."""
    return (checked.transfer_dataset or checked.dataset).splits["train"].class_counts


def _like(spec: JsonObject) -> TrainJob | DistillJob | None:
    """Read the spec of a finished job; None of one that would be refused today."""
    try:
        job = parse_job(spec)
    except SpecInvalid:
        return None
    return None if isinstance(job, EvaluateJob) else job


def _what_costs_time(spec: JsonObject) -> tuple[Any, ...]:
    """Keep of a resolved spec what decides how long a step takes: any JSON values."""
    training = spec.get("training", {})
    return (
        *(spec.get(name) for name in ("dataset", "teachers", "student", "network", "control")),
        *(spec.get(name) for name in ("transfer", "evaluation", "assistants")),
        {name: _cost_of_field(value) for name, value in spec.get("method", {}).items()},
        *(training.get(name) for name in ("batch_size", "precision")),
    )


def _cost_of_field(value: JsonValue) -> JsonValue:
    """Tell of a weight or temperature only whether its term is worked out at all."""
    return value > 0 if isinstance(value, float) else value


def _warnings(checked: CheckedJob, estimate: Estimate) -> list[str]:
    job = checked.job
    warnings = []
    if checked.cost is None:
        warnings.append(
            "Parameters, FLOPs and memory of torchvision's networks are known only once the "
            "network is built; they are in the report."
        )
    else:
        warnings.append(_ACTIVATIONS)
    if estimate.training_seconds is None:
        warnings.append(
            "No finished job has the same method, networks and data, so no time is estimated."
        )
    elif estimate.training_seconds > job.limits.max_seconds:
        warnings.append("limits.max_seconds is less than the time that training is likely to take.")
    learned_from = checked.transfer_dataset or checked.dataset
    num_examples = learned_from.splits["train"].num_examples
    if job.training.batch_size > num_examples:
        warnings.append(
            f"batch_size is above the {num_examples} training images: an epoch is one step."
        )
    if isinstance(job, DistillJob):
        warnings += _distillation_warnings(job, checked)
    return warnings


def _distillation_warnings(job: DistillJob, checked: CheckedJob) -> list[str]:
    warnings = []
    if not job.control:
        warnings.append("Without a control the report cannot say what the teacher was worth.")
    if has_pairs(job.method) and checked.cost is None:
        warnings.append(
            "Layers of torchvision's networks are known only once the network is built: "
            "method.layers is chosen and checked when the job starts."
        )
    for teacher in checked.teachers:
        size = teacher.model.parameters
        if checked.cost is not None and size is not None and checked.cost.parameters >= size:
            warnings.append(
                f"The student has {checked.cost.parameters:,} parameters, not fewer than the "
                f"teacher's {size:,}."
            )
        own, given = teacher.description.input.shape_CHW, checked.dataset.image_input.shape_CHW
        if own != given:
            warnings.append(
                f"Images of {shape_text(given)} are brought to the teacher's {shape_text(own)}."
            )
        if not teacher.description.class_names:
            warnings.append(
                "The teacher names no classes, so their order cannot be compared with the "
                "dataset's."
            )
    return warnings
