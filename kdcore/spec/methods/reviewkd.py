"""`reviewkd`: the teacher's stages, reviewed by all of the student's stages from there on."""

from typing import ClassVar, Literal

from pydantic import Field

from kdcore.spec.methods.base import Pairing, Weight
from kdcore.spec.methods.layered import LayeredFields


class ReviewKd(LayeredFields):
    """Chen, Liu, Zhao, Jia 2021 (arXiv:2104.09044): distilling knowledge via knowledge review.

    `layers` go from shallow to deep; a vector counts as a map of 1x1.
    """

    PAIRING: ClassVar[Pairing] = "stages"

    name: Literal["reviewkd"] = "reviewkd"
    feature_weight: Weight = Field(1.0, description="Weight of the compared maps, warmed up.")
    warmup_epochs: float = Field(
        20.0,
        ge=0.0,
        le=100_000.0,
        description="Epochs in which feature_weight grows from 0 in a straight line.",
    )
