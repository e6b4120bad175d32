"""Whether a job can run: what it refers to is there, ready, and fits together. No tensor needed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from api.datasets.facts import description_of, facts_of
from api.errors import InputsUnusable
from api.jobs import layers
from kdcore.catalog.architectures import architectures
from kdcore.catalog.cost import Cost, network_cost
from kdcore.compatibility import check_job_fits
from kdcore.errors import IncompatibleInputs, Problem, SpecInvalid
from kdcore.report import Run
from kdcore.spec import (
    AnyJob,
    Architecture,
    DatasetDescription,
    DistillJob,
    EvaluateJob,
    NetworkDescription,
    TrainJob,
    networks_of,
)
from kdcore.spec.runs import peer_architectures, plan_runs
from kdstore import datasets, models
from kdstore.errors import NotFound
from kdstore.tables import Dataset, Model

RowT = TypeVar("RowT", Dataset, Model)


@dataclass(frozen=True)
class CheckedModel:
    """A model that is ready and fits: a teacher, or one that is to be evaluated."""

    model: Model
    description: NetworkDescription


@dataclass(frozen=True)
class CheckedJob:
    """A job that can train, with the layers and stages that its networks decide.

    `costs` are those of every network that it trains, peers too; None for torchvision's.
    """

    job: TrainJob | DistillJob
    dataset: DatasetDescription
    transfer_dataset: DatasetDescription | None
    """What it learns from, if not the train split of `dataset`."""
    teachers: tuple[CheckedModel, ...]
    costs: Mapping[Run, Cost | None]

    @property
    def cost(self) -> Cost | None:
        """That of the network that the job is for."""
        return self.costs["network" if isinstance(self.job, TrainJob) else "student"]


@dataclass(frozen=True)
class CheckedEvaluation:
    """An evaluation that can run."""

    job: EvaluateJob
    dataset: DatasetDescription
    models: tuple[CheckedModel, ...]


def check(session: Session, *, workspace_id: str, job: AnyJob) -> CheckedJob | CheckedEvaluation:
    """Check everything about a job that needs no tensor.

    Raises:
        InputsUnusable: dataset or models are not there or not ready; all of them are named.
        IncompatibleInputs: they do not fit the job, or one another; nor do layers it names.
    """
    problems: list[Problem] = []
    described = [
        _described_dataset(
            session,
            workspace_id=workspace_id,
            dataset_id=dataset_id,
            pointer=pointer,
            problems=problems,
        )
        for dataset_id, pointer in zip(
            job.datasets, ("/dataset", "/transfer/dataset"), strict=False
        )
    ]
    found = _ready_models(session, workspace_id=workspace_id, job=job, problems=problems)
    descriptions = [description for description in described if description is not None]
    if problems or len(descriptions) < len(described):
        raise InputsUnusable(problems)
    dataset, transfer = descriptions[0], descriptions[1] if descriptions[1:] else None
    check_job_fits(
        job,
        facts_of(dataset),
        [each.description for each in found],
        transfer_dataset=None if transfer is None else facts_of(transfer),
    )
    if isinstance(job, EvaluateJob):
        return CheckedEvaluation(job, dataset, found)
    costs = _costs_of_trained(job, dataset)
    resolved = layers.resolve(job, dataset, [each.model for each in found])
    return CheckedJob(resolved, dataset, transfer, found, costs)


def _described_dataset(
    session: Session,
    *,
    workspace_id: str,
    dataset_id: str,
    pointer: str,
    problems: list[Problem],
) -> DatasetDescription | None:
    """Read what a dataset is; None, with a problem noted, if it is not there or not ready."""
    dataset = _ready(
        lambda: datasets.get(session, workspace_id=workspace_id, dataset_id=dataset_id),
        noun="dataset",
        pointer=pointer,
        problems=problems,
    )
    return None if dataset is None else description_of(dataset)


def _ready_models(
    session: Session, *, workspace_id: str, job: AnyJob, problems: list[Problem]
) -> tuple[CheckedModel, ...]:
    """Read the job's models; those that are not there or not ready are noted as problems."""
    field = "models" if isinstance(job, EvaluateJob) else "teachers"
    found: list[Model] = []
    for index, wanted in enumerate(networks_of(job)):
        model = _ready(
            lambda model_id=wanted: models.get(  # type: ignore[misc]  # binds the id now
                session, workspace_id=workspace_id, model_id=model_id
            ),
            noun="model",
            pointer=f"/{field}/{index}/model",
            problems=problems,
        )
        if model is not None:
            found.append(model)
    return tuple(
        CheckedModel(model, NetworkDescription.model_validate(model.description)) for model in found
    )


def _costs_of_trained(
    job: TrainJob | DistillJob, dataset: DatasetDescription
) -> dict[Run, Cost | None]:
    """Work out the cost of every network that the job trains.

    Raises:
        IncompatibleInputs, SpecInvalid: one of them cannot be built for the dataset's images.
    """
    trained = {run.name: run.architecture for run in plan_runs(job)} | peer_architectures(job)
    return {
        run: _cost_of(architecture, dataset, pointer=_pointer_to(run))
        for run, architecture in trained.items()
    }


def _pointer_to(run: Run) -> str:
    """Point to where a job names the architecture of one of its networks."""
    kind, _, number = run.partition("_")
    match kind:
        case "network":
            return "/network"
        case "assistant":
            return f"/assistants/{int(number) - 1}"
        case "peer":
            return f"/method/peers/{int(number) - 1}"
        case _:
            return "/student"


def _ready(
    read: Callable[[], RowT], *, noun: str, pointer: str, problems: list[Problem]
) -> RowT | None:
    """Read a row; None, with a problem noted, if it is not there or not ready."""
    try:
        row = read()
    except NotFound as error:
        problems.append(Problem(pointer, error.code, error.message))
        return None
    if row.status == "validating":
        message = f"The {noun} {row.id!r} is still being validated. Wait until it is ready."
        problems.append(Problem(pointer, f"{noun}_not_ready", message))
        return None
    if row.status == "rejected":
        message = f"The {noun} {row.id!r} was rejected. Read it to see why, and upload another."
        problems.append(Problem(pointer, f"{noun}_rejected", message))
        return None
    return row


def _cost_of(
    architecture: Architecture, dataset: DatasetDescription, *, pointer: str
) -> Cost | None:
    """Work out the cost of a network; None for torchvision's.

    Raises:
        IncompatibleInputs, SpecInvalid: it cannot be built for them.
    """
    limits = next(
        entry.limits for entry in architectures() if architecture.architecture in entry.names
    )
    if dataset.image.channels not in limits.image_channels:
        wanted = ", ".join(map(str, limits.image_channels))
        raise IncompatibleInputs(
            "image_channels_mismatch",
            f"{architecture.architecture} takes images with {wanted} channels and the dataset's "
            f"have {dataset.image.channels}. Choose another architecture or dataset.",
            pointer=f"{pointer}/architecture",
        )
    description = NetworkDescription(
        architecture=architecture,
        input=dataset.image_input,
        num_classes=len(dataset.class_names),
        class_names=dataset.class_names,
    )
    cost = _placed_cost(description, pointer)
    if cost is not None and cost.parameters > limits.max_parameters:
        raise IncompatibleInputs(
            "network_too_large",
            f"The network has {cost.parameters:,} parameters; the limit is "
            f"{limits.max_parameters:,}. Make it smaller.",
            pointer=pointer,
        )
    return cost


def _placed_cost(description: NetworkDescription, pointer: str) -> Cost | None:
    """Work out the cost; errors that point into the architecture point into the job."""
    try:
        return network_cost(description)
    except IncompatibleInputs as error:
        raise IncompatibleInputs(
            error.code, error.message, pointer=pointer + error.pointer
        ) from error
    except SpecInvalid as error:
        raise SpecInvalid(
            [Problem(pointer + each.pointer, each.code, each.message) for each in error.problems]
        ) from error
