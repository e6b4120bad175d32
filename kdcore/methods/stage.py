"""The stages that a method brings, and what it may know to build them."""

from dataclasses import dataclass, field

from kdcore.catalog.layer_shapes import LayerShapes
from kdcore.methods.objective import Objective
from kdcore.spec.networks import NetworkDescription
from kdcore.teacher import Teacher

TRAINING_STAGE = "training"
"""The stage that every run has, and the last one of each."""


@dataclass(frozen=True)
class MethodStage:
    """One stage: `name` as `training.stages` overrides it, and what it minimises."""

    name: str
    objective: Objective


@dataclass(frozen=True)
class MethodInputs:
    """What a method is built for.

    Attributes:
        student: The network that learns.
        student_layers: Every layer of it that can be tapped.
        teacher_layers: The same of the teacher; empty unless there is exactly one.
        teacher: The teacher itself, for methods that read its weights; None for several together.
        num_examples: Size of the transfer set, which `Step.indices_B` counts in.
        seed: Of everything that the method draws, such as a regressor's first weights.
    """

    student: NetworkDescription
    student_layers: LayerShapes = field(default_factory=dict)
    teacher_layers: LayerShapes = field(default_factory=dict)
    teacher: Teacher | None = None
    num_examples: int = 0
    seed: int = 0
