"""`self_distillation`. Its formula is in `kdcore/methods/self_distillation.py`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.methods.base import MethodFields, Weight, require_some_weight


class SelfDistillation(MethodFields):
    """Furlanello et al. 2018 (arXiv:1805.04770): generations of one network, each under the last.

    Generation 0 learns from labels alone and is the control; the last one is the student.
    """

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (0, 0)
    NEEDS_LABELS: ClassVar[bool] = True

    name: Literal["self_distillation"] = "self_distillation"
    generations: int = Field(
        1, ge=1, le=5, description="How many follow generation 0, the student being the last."
    )
    temperature: float = Field(
        1.0, gt=0.0, le=1000.0, description="T of softmax(z/T), for both generations alike."
    )
    ce_weight: Weight = Field(1.0, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(1.0, description="Weight of T^2 * KL(generation before || own).")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        return self
