"""What a job would be and take: networks' costs, teacher's accuracy, memory, time, warnings."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.datasets.facts import image_bytes
from api.jobs.checks import CheckedEvaluation, CheckedJob, CheckedModel
from api.jobs.schemas import Estimate, JobValidation, ModelFacts, NetworkCost
from api.schemas import JsonObject
from kdcore.compatibility import shape_text
from kdcore.pairing import has_pairs
from kdcore.spec import DistillJob, OptimizerSpec, Sgd, TrainJob
from kdstore.tables import Attempt, Job, JobReport, Model

_BYTES_PER_VALUE = 4  # float32: weights, gradients and moments
_JOBS_LOOKED_AT = 50
# Fields of methods that decide what is computed in a step, or how many networks are trained.
_TIME_OF_METHOD = ("name", "generations", "num_peers", "peers")
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
    estimate = Estimate(
        memory_bytes_at_least=_memory_bytes(checked),
        training_seconds=_training_seconds(session, workspace_id=workspace_id, job=job),
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
    # Networks and images; what one batch of one network takes is not counted.
    values = sum(each.model.parameters or 0 for each in checked.models)
    memory = values * _BYTES_PER_VALUE + image_bytes(checked.dataset)
    return JobValidation(
        spec=job.model_dump(mode="json"),
        teachers=[],
        models=[
            _facts(session, workspace_id=workspace_id, dataset_id=job.dataset, checked=each)
            for each in checked.models
        ],
        student=None,
        network=None,
        estimate=Estimate(memory_bytes_at_least=memory, training_seconds=None),
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


def _memory_bytes(checked: CheckedJob) -> int | None:
    """Add up what is on the device for sure. Activations depend on how the device computes."""
    if checked.largest is None:
        return None
    # Weights, gradients, and what the optimizer keeps of each.
    copies = 2 + _moments(checked.job.training.optimizer)
    trained = checked.largest.parameters * copies
    frozen = sum(teacher.model.parameters or 0 for teacher in checked.teachers)
    images = sum(map(image_bytes, filter(None, (checked.dataset, checked.transfer_dataset))))
    return (trained + frozen) * _BYTES_PER_VALUE + images


def _moments(optimizer: OptimizerSpec) -> int:
    if isinstance(optimizer, Sgd):
        return 1 if optimizer.momentum > 0 else 0
    return 2


def _training_seconds(
    session: Session, *, workspace_id: str, job: TrainJob | DistillJob
) -> float | None:
    """Scale the newest finished job of the same method, networks and data, by epochs."""
    spec_now = job.model_dump(mode="json")
    wanted = _what_costs_time(spec_now)
    finished = session.execute(
        select(Job.id, Job.spec)
        .where(Job.workspace_id == workspace_id, Job.status == "succeeded", Job.kind == job.kind)
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(_JOBS_LOOKED_AT)
    )
    for job_id, spec in finished:
        if _what_costs_time(spec) == wanted:
            seconds = session.execute(
                select(func.sum(Attempt.trained_seconds)).where(Attempt.job_id == job_id)
            ).scalar_one()
            ratio = _num_epochs(spec["training"]) / _num_epochs(spec_now["training"])
            return float(seconds) / ratio if seconds else None
    return None


def _what_costs_time(spec: JsonObject) -> tuple[Any, ...]:
    """Keep of a resolved spec what decides how long an epoch takes: any JSON values."""
    training = spec.get("training", {})
    return (
        *(spec.get(name) for name in ("dataset", "teachers", "student", "network", "control")),
        *(spec.get(name) for name in ("transfer", "evaluation", "assistants")),
        *(spec.get("method", {}).get(name) for name in _TIME_OF_METHOD),
        *(training.get(name) for name in ("batch_size", "precision")),
        # Stages in steps do not grow with epochs: only those of the same lengths compare.
        _lengths(training) if any(steps for _, steps in _lengths(training)) else None,
    )


def _num_epochs(training: JsonObject) -> int:
    """Count the epochs of all stages of a resolved `training`."""
    return sum(epochs or 0 for epochs, _ in _lengths(training)) or int(training["num_epochs"])


def _lengths(training: JsonObject) -> list[tuple[int | None, int | None]]:
    return [(each["num_epochs"], each["num_steps"]) for each in training.get("stages", [])]


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
