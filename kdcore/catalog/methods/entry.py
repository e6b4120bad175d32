"""What the catalog says of a method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kdcore.catalog.papers import Paper
from kdcore.catalog.schemas import schema_with_tag
from kdcore.spec.methods import MethodFields
from kdcore.spec.methods.base import FittingShapes, Pairing
from kdcore.spec.training import OptimizerSpec

LabelUse = Literal["always", "if_ce_weight", "never"]
"""`if_ce_weight`: only with a `ce_weight` above 0."""


@dataclass(frozen=True)
class LayerNeeds:
    """Which layers a method compares: `kdcore.spec.MethodFields` says what each word means."""

    chosen: Pairing
    """Where the spec names none."""
    shapes: FittingShapes
    fewest_places: int
    """Height times width of the smallest maps that are chosen, where there are any so large."""


@dataclass(frozen=True)
class Needs:
    """What a method works on."""

    min_teachers: int
    max_teachers: int
    labels: LabelUse
    mixes: bool
    """Whether images may be mixed (`transfer.mix`)."""
    layers: LayerNeeds | None


@dataclass(frozen=True)
class MethodEntry:
    """One published method."""

    name: str
    title: str
    summary: str
    formula: str
    """Plain text: z logits, s student, t teacher, y label, B batch, p^T = softmax(z/T)."""
    paper: Paper
    spec: type[MethodFields]
    labels: LabelUse

    @property
    def needs(self) -> Needs:
        """What it works on; teachers and layers as its spec enforces them."""
        spec = self.spec
        fewest, most = spec.NUM_TEACHERS
        layers = LayerNeeds(spec.PAIRING, spec.SHAPES, spec.FEWEST_PLACES)
        return Needs(
            min_teachers=fewest,
            max_teachers=most,
            labels=self.labels,
            mixes=spec.TAKES_MIXES,
            layers=None if spec.PAIRING == "none" else layers,
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of its stages, in order, as `training.stages` overrides them."""
        return self.spec.STAGES

    @property
    def stage_optimizers(self) -> Mapping[str, OptimizerSpec]:
        """The optimizers of its stages that have one of their own, unless a job names another."""
        return self.spec.STAGE_OPTIMIZERS

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of the method's fields."""
        return schema_with_tag(self.spec, "name")
