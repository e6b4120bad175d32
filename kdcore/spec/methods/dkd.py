"""The parameters of `dkd`. Its formula is in `kdcore/methods/dkd.py`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.base import problem
from kdcore.spec.methods.base import MAX_TEACHERS, MethodFields, Weight, require_some_weight


class Dkd(MethodFields):
    """Zhao et al. 2022 (arXiv:2203.08679): soft targets split at the labelled class."""

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, MAX_TEACHERS)
    NEEDS_LABELS: ClassVar[bool] = True

    name: Literal["dkd"] = "dkd"
    temperature: float = Field(
        4.0, gt=0.0, le=1000.0, description="T of softmax(z/T), for teacher and student alike."
    )
    ce_weight: Weight = Field(1.0, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(1.0, description="Weight of the two distilled terms together.")
    target_weight: Weight = Field(
        1.0, description="Share of the labelled class against all others; the paper's alpha."
    )
    non_target_weight: Weight = Field(
        8.0, description="Share of the classes that are not the label; the paper's beta."
    )
    warmup_epochs: float = Field(
        0.0,
        ge=0.0,
        le=1e6,
        description="Epochs over which kd_weight rises linearly from 0; the authors take 20.",
    )

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        if self.kd_weight and not (self.target_weight or self.non_target_weight):
            raise problem(
                "no_loss_left",
                "target_weight and non_target_weight are both 0; raise one, or set kd_weight to 0.",
                field="non_target_weight",
            )
        return self
