"""What every job has besides its work: where, when and how long, and how it is found again."""

from typing import Annotated

from pydantic import Field

from kdcore.spec.base import SpecModel
from kdcore.spec.resources import Resources

Tag = Annotated[str, Field(max_length=256)]
Tags = dict[Annotated[str, Field(min_length=1, max_length=64)], Tag]


class Limits(SpecModel):
    """When a job is given up."""

    max_seconds: int = Field(
        86_400, ge=1, le=30 * 86_400, description="Seconds of training, all attempts together."
    )
    max_attempts: int = Field(3, ge=1, le=100, description="Attempts before the job has failed.")


class JobFields(SpecModel):
    """The fields of every job."""

    name: str = Field("", max_length=200, description="For people; need not be unique.")
    dataset: str = Field(
        min_length=1, max_length=128, description="Id of a dataset, or a built-in's name."
    )
    resources: Resources = Resources()
    priority: int = Field(
        0,
        ge=-100,
        le=100,
        description="Jobs of a higher priority start first. Among equals the turn goes round "
        "between workspaces, and within one to the oldest.",
    )
    limits: Limits = Limits()
    tags: Tags = Field(default_factory=dict, max_length=32)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that the job reads, its own first."""
        return (self.dataset,)
