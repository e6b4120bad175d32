"""Methods that compare layers of both networks. Formulas are in `kdcore/methods/<name>.py`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.methods.base import MethodFields, Weight, require_some_weight
from kdcore.spec.methods.layers import FlowPairs


class Fsp(MethodFields):
    """Yim, Joo, Bae, Kim 2017: the flow from one layer to another.

    The stage `fsp` brings the student's flows to the teacher's; the stage `training` then learns
    the task, whose weights are the fields here.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("fsp", "training")

    name: Literal["fsp"] = "fsp"
    layers: FlowPairs = Field((), description="The flows; empty: chosen by the sizes of maps.")
    ce_weight: Weight = Field(
        1.0, description="Weight of the cross-entropy with the labels, in the second stage."
    )
    kd_weight: Weight = Field(
        0.0, description="Weight of T^2 * KL(teacher || student), in the second stage."
    )
    temperature: float = Field(
        4.0, gt=0.0, le=1000.0, description="T of softmax(z/T); counts where kd_weight is not 0."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        return self
