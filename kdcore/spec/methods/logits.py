"""Methods that compare logits. Formulas are in `kdcore/methods/<name>.py`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.methods.base import MAX_TEACHERS, MethodFields, Weight, require_some_weight


class LogitKd(MethodFields):
    """Hinton, Vinyals, Dean 2015 (arXiv:1503.02531): soft targets at a temperature."""

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, MAX_TEACHERS)

    name: Literal["logit_kd"] = "logit_kd"
    temperature: float = Field(
        4.0, gt=0.0, le=1000.0, description="T of softmax(z/T), for teacher and student alike."
    )
    ce_weight: Weight = Field(0.1, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(0.9, description="Weight of T^2 * KL(teacher || student).")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        return self


class LogitMatching(MethodFields):
    """Ba and Caruana 2014 (arXiv:1312.6184): squared distance between logits."""

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, MAX_TEACHERS)

    name: Literal["logit_matching"] = "logit_matching"
    ce_weight: Weight = Field(0.0, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(1.0, description="Weight of 1/2 * ||z_s - z_t||^2.")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        return self
