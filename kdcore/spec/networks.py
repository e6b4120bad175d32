"""A network as a whole: architecture, input and classes. This is what `student.json` holds."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from kdcore.spec.architectures import Architecture
from kdcore.spec.base import Names, Numbers, SpecModel, problem

MAX_CLASSES = 10_000


class ImageInput(SpecModel):
    """The images a network takes: size in pixels, and the normalisation of values in [0, 1]."""

    channels: int = Field(ge=1, le=16, description="1 for grey, 3 for RGB.")
    height: int = Field(ge=1, le=4096, description="Pixels.")
    width: int = Field(ge=1, le=4096, description="Pixels.")
    mean: Numbers = Field((), description="Per channel, subtracted from values in [0, 1].")
    std: Numbers = Field((), description="Per channel, divides after the mean is subtracted.")

    @model_validator(mode="before")
    @classmethod
    def _fill_normalisation(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(channels := data.get("channels"), int):
            return {
                **data,
                "mean": data.get("mean") or [0.0] * min(channels, 16),
                "std": data.get("std") or [1.0] * min(channels, 16),
            }
        return data

    @model_validator(mode="after")
    def _check_normalisation(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise problem(
                    "normalisation_length",
                    f"Give one {name} for each of the {self.channels} channels, not {len(values)}.",
                    field=name,
                )
        if any(value <= 0 for value in self.std):
            raise problem("std_not_positive", "Every std must be above 0.", field="std")
        return self

    @property
    def shape_CHW(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width


class NetworkDescription(SpecModel):
    """Enough to rebuild a network in one call: `kdcore.models.build_network(description)`."""

    architecture: Architecture
    input: ImageInput
    num_classes: int = Field(ge=2, le=MAX_CLASSES, description="Number of outputs (logits).")
    class_names: Annotated[Names, Field(max_length=MAX_CLASSES)] = Field(
        (), description="Name of each output in order; empty if unknown."
    )

    @model_validator(mode="after")
    def _check_class_names(self) -> Self:
        if self.class_names and len(self.class_names) != self.num_classes:
            raise problem(
                "class_names_length",
                f"{len(self.class_names)} class names for {self.num_classes} outputs; "
                "give one for each, or none.",
                field="class_names",
            )
        return self
