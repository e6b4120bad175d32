"""What the specs of all methods share: weights and stages."""

from typing import Annotated, ClassVar

from pydantic import Field

from kdcore.spec.base import SpecModel, problem

MAX_TEACHERS = 8

Weight = Annotated[float, Field(ge=0.0, le=1e6)]


class MethodFields(SpecModel):
    """What every method has.

    Attributes:
        STAGES: The names that `training.stages` may override.
        NUM_TEACHERS: The fewest and the most teachers that the method learns from at once.
        NEEDS_LABELS: Whether it reads labels even with a `ce_weight` of 0.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("training",)
    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, 1)
    NEEDS_LABELS: ClassVar[bool] = False


def require_some_weight(*weights: float) -> None:
    """Refuse a method all of whose weights are 0.

    Raises:
        PydanticCustomError: `no_loss_left`.
    """
    if not any(weights):
        raise problem(
            "no_loss_left",
            "ce_weight and kd_weight are both 0, so there is nothing to learn; raise one.",
            field="kd_weight",
        )
