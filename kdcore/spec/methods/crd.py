"""`crd`: the student's view of an image found among the teacher's views of many."""

from typing import ClassVar, Literal

from pydantic import Field

from kdcore.spec.methods.base import Weight
from kdcore.spec.methods.layered import LayeredFields


class Crd(LayeredFields):
    """Tian, Krishnan, Isola 2020 (arXiv:1910.10699): contrastive representation distillation.

    Remembers two vectors of `feature_dim` numbers for every image that is learned from, and holds
    each image against the others: a mix of two would be the one and the other at once.
    """

    TAKES_MIXES: ClassVar[bool] = False

    name: Literal["crd"] = "crd"
    feature_weight: Weight = Field(0.8, description="Weight of the contrast.")
    feature_dim: int = Field(
        128, ge=1, le=8192, description="Width in which the two networks' layers are compared."
    )
    num_negatives: int = Field(
        16_384,
        ge=1,
        le=1_000_000,
        description="Other images that each image is held against; at most those learned from.",
    )
    contrast_temperature: float = Field(
        0.07, gt=0.0, le=100.0, description="Divides similarities; the smaller, the harder."
    )
    memory_momentum: float = Field(
        0.5, ge=0.0, lt=1.0, description="Share of the old vector in a remembered one."
    )
