"""What the catalog says of a method."""

from dataclasses import dataclass
from typing import Any, Literal

from kdcore.catalog.papers import Paper
from kdcore.catalog.schemas import schema_with_tag
from kdcore.spec.methods import MethodFields

LabelUse = Literal["always", "if_ce_weight", "never"]
"""`if_ce_weight`: only with a `ce_weight` above 0."""


@dataclass(frozen=True)
class Needs:
    """What a method works on."""

    min_teachers: int
    max_teachers: int
    labels: LabelUse


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
        """What it works on; the numbers of teachers are those that its spec enforces."""
        fewest, most = self.spec.NUM_TEACHERS
        return Needs(min_teachers=fewest, max_teachers=most, labels=self.labels)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of its stages, in order, as `training.stages` overrides them."""
        return self.spec.STAGES

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of the method's fields."""
        return schema_with_tag(self.spec, "name")
