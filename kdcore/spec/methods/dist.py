"""The parameters of `dist`. Its formula is in `kdcore/methods/dist.py`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.base import problem
from kdcore.spec.methods.base import MAX_TEACHERS, MethodFields, Weight, require_some_weight


class Dist(MethodFields):
    """Huang et al. 2022 (arXiv:2205.10536): correlations of probabilities."""

    NUM_TEACHERS: ClassVar[tuple[int, int]] = (1, MAX_TEACHERS)

    name: Literal["dist"] = "dist"
    temperature: float = Field(
        4.0,
        gt=0.0,
        le=1000.0,
        description="T of softmax(z/T), for teacher and student alike; the authors take 4 on "
        "CIFAR-100 and 1 on ImageNet.",
    )
    ce_weight: Weight = Field(1.0, description="Weight of the cross-entropy with the labels.")
    kd_weight: Weight = Field(1.0, description="Weight of the two correlations together.")
    inter_weight: Weight = Field(
        2.0, description="Share of the correlation over the classes of each image."
    )
    intra_weight: Weight = Field(
        2.0, description="Share of the correlation over the images of a batch, for each class."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        require_some_weight(self.ce_weight, self.kd_weight)
        if self.kd_weight and not (self.inter_weight or self.intra_weight):
            raise problem(
                "no_loss_left",
                "inter_weight and intra_weight are both 0; raise one, or set kd_weight to 0.",
                field="inter_weight",
            )
        return self
