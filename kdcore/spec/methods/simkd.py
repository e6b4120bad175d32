"""`simkd`: the student's features are brought to the teacher's, and its classifier is reused."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.base import problem
from kdcore.spec.methods.base import Pairing, Weight
from kdcore.spec.methods.layered import LayeredFields


class SimKd(LayeredFields):
    """Chen et al. 2022 (arXiv:2203.14001): with the reused teacher classifier.

    What is trained and exported is the student up to its layer, a projector, and the teacher's
    classifier, which stays as it is: a `reused_classifier`. The control is the plain student.
    """

    PAIRING: ClassVar[Pairing] = "last_map"

    name: Literal["simkd"] = "simkd"
    ce_weight: Weight = Field(0.0, description="Weight of the cross-entropy with the labels.")
    feature_weight: Weight = Field(1.0, description="Weight of the squared distance of maps.")
    bottleneck_factor: float = Field(
        2.0, ge=0.125, le=64.0, description="Channels of the teacher over those in the projector."
    )

    @property
    def reads_teacher_logits(self) -> bool:
        """Always: the teacher's classifier becomes the student's, so its classes do too."""
        return True

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if len(self.layers) > 1:
            raise problem(
                "more_than_one_pair",
                "simkd compares one layer of each network; give one pair.",
                field="layers/1",
            )
        return self
