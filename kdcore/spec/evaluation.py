"""What is measured of networks, and a job that measures several together."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.base import Names, SpecModel, problem
from kdcore.spec.bookkeeping import JobFields

MAX_MODELS = 16


class MeasurementSpec(SpecModel):
    """What is measured of each network."""

    splits: Names = Field(("test",), description="Splits of the dataset to report on.")
    latency: bool = Field(True, description="Time the networks at batch sizes 1 and 64.")

    @model_validator(mode="after")
    def _check_splits(self) -> Self:
        if not self.splits or not set(self.splits) <= {"train", "test"}:
            raise problem(
                "unknown_split", 'splits names at least one of "train" and "test".', field="splits"
            )
        return self


class EvaluationSpec(MeasurementSpec):
    """What is measured at the end, and how often while training."""

    every_epochs: int = Field(
        1, ge=1, le=100_000, description="Epochs between accuracy readings for the live curve."
    )


class EnsembleMember(SpecModel):
    """A model that answers together with others."""

    model: str = Field(min_length=1, max_length=128, description="Id of a model that is ready.")
    weight: float = Field(1.0, gt=0.0, le=1e6, description="Its share of the mean.")


class EvaluateJob(JobFields):
    """Measure networks on a dataset, each alone and all together; nothing is trained."""

    kind: Literal["evaluate"] = "evaluate"
    models: Annotated[tuple[EnsembleMember, ...], Field(strict=False)] = Field(
        min_length=1, max_length=MAX_MODELS, description="The networks, as numbered in the report."
    )
    average: Literal["probabilities", "logits"] = Field(
        "probabilities", description="What of several networks is averaged, by their weights."
    )
    evaluation: MeasurementSpec = MeasurementSpec()

    @model_validator(mode="after")
    def _check_resources(self) -> Self:
        if self.resources.num_processes > 1:
            raise problem(
                "needs_one_process",
                "An evaluation runs in one process; leave resources.num_processes out.",
                field="resources/num_processes",
            )
        return self
