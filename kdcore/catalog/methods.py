"""The methods that can be asked for: what each computes, its fields, needs and paper."""

from dataclasses import dataclass
from typing import Any, Literal

from kdcore.catalog.papers import Paper
from kdcore.catalog.schemas import schema_with_tag
from kdcore.spec.base import SpecModel
from kdcore.spec.methods import LogitKd, LogitMatching


@dataclass(frozen=True)
class Needs:
    """What a method works on."""

    min_teachers: int
    max_teachers: int
    labels: Literal["always", "if_ce_weight", "never"]
    """`if_ce_weight`: only with a `ce_weight` above 0."""


@dataclass(frozen=True)
class MethodEntry:
    """One published method."""

    name: str
    title: str
    summary: str
    formula: str
    """Plain text: z logits, s student, t teacher, y label, B batch, p^T = softmax(z/T)."""
    paper: Paper
    spec: type[SpecModel]
    needs: Needs

    def json_schema(self) -> dict[str, Any]:
        """Give the JSON Schema of the method's fields."""
        return schema_with_tag(self.spec, "name")


def methods() -> tuple[MethodEntry, ...]:
    """List every method that a job can name."""
    return (_logit_kd(), _logit_matching())


def _logit_kd() -> MethodEntry:
    return MethodEntry(
        name="logit_kd",
        title="Soft targets at a temperature",
        summary="The student learns the teacher's probabilities, softened by a temperature that "
        "brings out what the teacher thinks of the wrong classes.",
        formula="ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)",
        paper=Paper(
            authors="Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
            title="Distilling the Knowledge in a Neural Network",
            year=2015,
            url="https://arxiv.org/abs/1503.02531",
        ),
        spec=LogitKd,
        needs=Needs(min_teachers=1, max_teachers=1, labels="if_ce_weight"),
    )


def _logit_matching() -> MethodEntry:
    return MethodEntry(
        name="logit_matching",
        title="Logit matching",
        summary="The student learns the teacher's logits by their squared distance: what "
        "soft targets become as the temperature grows.",
        formula="ce_weight · CE(y, z_s) + kd_weight · 1/(2B) · Σ ‖z_s − z_t‖²",
        paper=Paper(
            authors="Lei Jimmy Ba, Rich Caruana",
            title="Do Deep Nets Really Need to be Deep?",
            year=2014,
            url="https://arxiv.org/abs/1312.6184",
        ),
        spec=LogitMatching,
        needs=Needs(min_teachers=1, max_teachers=1, labels="if_ce_weight"),
    )
