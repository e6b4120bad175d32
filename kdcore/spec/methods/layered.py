"""What methods that learn layers beside the task have in common: weights and layers."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from kdcore.spec.base import problem
from kdcore.spec.methods.base import FittingShapes, MethodFields, Pairing, Weight
from kdcore.spec.methods.layers import LayerPairs


class LayeredFields(MethodFields):
    """Layers of both networks, beside which labels and soft targets may teach.

    Attributes:
        OWN_WEIGHTS: The fields that weigh the method's own terms.
    """

    PAIRING: ClassVar[Pairing] = "embedding"
    SHAPES: ClassVar[FittingShapes] = "any"
    OWN_WEIGHTS: ClassVar[tuple[str, ...]] = ("feature_weight",)

    ce_weight: Weight = Field(1.0, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(0.0, description="Weight of T^2 * KL(teacher || student).")
    temperature: float = Field(
        4.0, gt=0.0, le=1000.0, description="T of softmax(z/T); counts where kd_weight is not 0."
    )
    layers: LayerPairs = Field((), description="Which layers are compared; empty: chosen for you.")

    @model_validator(mode="after")
    def _check_own_weights(self) -> Self:
        names = ("ce_weight", "kd_weight", *self.OWN_WEIGHTS)
        if not any(getattr(self, name) for name in names):
            raise problem(
                "no_loss_left",
                f"{', '.join(names)} are all 0, so there is nothing to learn; raise one.",
                field=self.OWN_WEIGHTS[0],
            )
        return self
