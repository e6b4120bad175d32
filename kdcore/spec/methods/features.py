"""Methods that compare layers of both networks. Formulas are in `kdcore/methods/<name>.py`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdcore.spec.methods.base import (
    FittingShapes,
    MethodFields,
    Pairing,
    Weight,
    require_some_weight,
)
from kdcore.spec.methods.layered import LayeredFields
from kdcore.spec.methods.layers import FlowPairs, LayerPairs


class _LayersFirst(MethodFields):
    """A stage that learns layers alone, then the task, whose weights are the fields here."""

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


class Attention(LayeredFields):
    """Zagoruyko and Komodakis 2017 (arXiv:1612.03928): where in an image the layers are active."""

    PAIRING: ClassVar[Pairing] = "stages"
    SHAPES: ClassVar[FittingShapes] = "maps"

    name: Literal["attention"] = "attention"
    feature_weight: Weight = Field(
        1000.0, description="Weight of the squared distance between attention maps."
    )


class FeatureMatching(LayeredFields):
    """Layers of the student learn layers of the teacher, in any number of pairs."""

    PAIRING: ClassVar[Pairing] = "stages"
    SHAPES: ClassVar[FittingShapes] = "equal"

    name: Literal["feature_matching"] = "feature_matching"
    feature_weight: Weight = Field(
        100.0, description="Weight of the mean squared distance, summed over pairs."
    )


class Fitnet(_LayersFirst):
    """Romero, Ballas, Kahou, Chassang, Gatta, Bengio 2015 (arXiv:1412.6550): hints.

    The stage `hint` brings the student up to a middle layer of the teacher through a regressor;
    the stage `training` then distils the whole.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("hint", "training")
    PAIRING: ClassVar[Pairing] = "middle"

    name: Literal["fitnet"] = "fitnet"
    layers: LayerPairs = Field(
        (), description="Hints; empty: one, chosen from the middle of both networks."
    )
    ce_weight: Weight = Field(
        0.1, description="Weight of the cross-entropy with the labels, in the second stage."
    )
    kd_weight: Weight = Field(
        0.9, description="Weight of T^2 * KL(teacher || student), in the second stage."
    )


class Fsp(_LayersFirst):
    """Yim, Joo, Bae, Kim 2017: the flow from one layer to another.

    The stage `fsp` brings the student's flows to the teacher's; the stage `training` then learns
    the task.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("fsp", "training")
    PAIRING: ClassVar[Pairing] = "flows"
    SHAPES: ClassVar[FittingShapes] = "equal_channels"

    name: Literal["fsp"] = "fsp"
    layers: FlowPairs = Field((), description="The flows; empty: chosen by the sizes of maps.")
