"""`rkd`: relations between the images of a batch."""

from typing import ClassVar, Literal

from pydantic import Field

from kdcore.spec.methods.base import FittingShapes, Pairing, Weight
from kdcore.spec.methods.layered import LayeredFields


class Rkd(LayeredFields):
    """Park, Kim, Lu, Cho 2019 (arXiv:1904.05068): distances and angles between embeddings.

    Angles take memory for batch_size^3 numbers, and batch_size^2 times the embedding's width.
    """

    PAIRING: ClassVar[Pairing] = "embedding"
    SHAPES: ClassVar[FittingShapes] = "any"
    OWN_WEIGHTS: ClassVar[tuple[str, ...]] = ("distance_weight", "angle_weight")

    name: Literal["rkd"] = "rkd"
    distance_weight: Weight = Field(25.0, description="Weight of the distances of pairs.")
    angle_weight: Weight = Field(50.0, description="Weight of the angles of triplets.")
