"""The parameters of `logit_standardization`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.methods.base import MAX_TEACHERS, MethodFields, Weight, require_some_weight


class LogitStandardization(MethodFields):
    """Sun et al. 2024 (arXiv:2403.01427): soft targets of standardised logits."""

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, MAX_TEACHERS)

    name: Literal["logit_standardization"] = "logit_standardization"
    temperature: float = Field(
        2.0,
        gt=0.0,
        le=1000.0,
        description="T of softmax(Z/T), in units of the logits' own deviation.",
    )
    ce_weight: Weight = Field(0.1, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(
        9.0, description="Weight of T^2 * KL(teacher || student) of standardised logits."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        return self
