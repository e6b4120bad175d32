"""What the specs of all methods share: weights, stages, and how layers are paired."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kdcore.spec.base import SpecModel, problem
from kdcore.spec.training import OptimizerSpec

MAX_TEACHERS = 8

Weight = Annotated[float, Field(ge=0.0, le=1e6)]

Pairing = Literal["none", "stages", "middle", "flows", "embedding", "last_map"]
FittingShapes = Literal["equal", "equal_channels", "equal_size", "maps", "any"]


class MethodFields(SpecModel):
    """What every method has. A subclass sets those attributes in which it differs.

    Attributes:
        STAGES: The names that `training.stages` may override, in order.
        STAGE_OPTIMIZERS: The optimizers of those stages whose loss asks for one of its own, where
            `training.stages` names none; every other stage has `training.optimizer`.
        NUM_TEACHERS: The fewest and the most teachers that the method learns from at once.
        NEEDS_LABELS: Whether it reads labels even with a `ce_weight` of 0.
        TAKES_MIXES: Whether its definition holds for images mixed of two (`transfer.mix`).
        PAIRING: What `kdcore.pairing` puts into the field `layers` where it is empty.
            `none`: the method has no such field.
            `stages`: a LayerPair for the end of each stage, by spatial size; for networks without
            maps, for each hidden vector from the end backwards.
            `middle`: only the middle one of these, and always with an adapter.
            `flows`: a FlowPair from the start to the end of each stage.
            `embedding`: one LayerPair of what the last linear layer of each network takes in.
            `last_map`: one LayerPair of the last maps, the teacher's being as wide as what its
            last linear layer takes in; where it has none, as `embedding`.
        SHAPES: Which shapes may stand beside each other in a pair.
            `equal`: the same, once an adapter has brought the student's channels to the teacher's.
            `equal_channels`: maps of the same channels, by an adapter if need be, and of any size.
            `equal_size`: maps of the same height and width, and of any channels.
            `maps`: maps of any channels and size.
            `any`: whatever the layers give.
            Where channels may differ the method sees to that itself, and an adapter is refused.
        FEWEST_PLACES: Height times width of the smallest maps that the rule `stages` chooses, where
            there are any so large; else it chooses the largest alone. Named layers may be smaller.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("training",)
    STAGE_OPTIMIZERS: ClassVar[Mapping[str, OptimizerSpec]] = {}
    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, 1)
    NEEDS_LABELS: ClassVar[bool] = False
    TAKES_MIXES: ClassVar[bool] = True
    PAIRING: ClassVar[Pairing] = "none"
    SHAPES: ClassVar[FittingShapes] = "equal"
    FEWEST_PLACES: ClassVar[int] = 1

    @property
    def reads_teacher_logits(self) -> bool:
        """Whether the teacher must have the dataset's classes: layers alone can be of any task."""
        return self.PAIRING == "none" or getattr(self, "kd_weight", 0.0) > 0

    @property
    def teacher_temperature(self) -> float:
        """Temperature at which several teachers' probabilities are averaged; 1 without one."""
        return float(getattr(self, "temperature", 1.0))


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
