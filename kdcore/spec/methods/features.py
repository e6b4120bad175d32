"""Methods that compare layers of both networks. Formulas are in `kdcore/methods/<name>.py`."""

from collections.abc import Mapping
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
from kdcore.spec.training import Adam, OptimizerSpec


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
    """Zagoruyko and Komodakis 2017 (arXiv:1612.03928): where in an image the layers are active.

    The paper's weight of 1000 is divided by the places of each map, of which it has 7x7 and more.
    On 2x2 it is 250, and drowns the labels; so smaller maps are not chosen, only taken by name.
    """

    PAIRING: ClassVar[Pairing] = "stages"
    SHAPES: ClassVar[FittingShapes] = "maps"
    FEWEST_PLACES: ClassVar[int] = 49

    name: Literal["attention"] = "attention"
    feature_weight: Weight = Field(
        1000.0,
        description="Weight of the squared distance between attention maps, averaged over their "
        "places; with layers named by you of less than 7x7, take 20 * height * width or less.",
    )


class FeatureMatching(LayeredFields):
    """Layers of the student learn layers of the teacher, in any number of pairs."""

    PAIRING: ClassVar[Pairing] = "stages"
    SHAPES: ClassVar[FittingShapes] = "equal"

    name: Literal["feature_matching"] = "feature_matching"
    feature_weight: Weight = Field(
        1.0,
        description="Weight of the mean squared distance, summed over pairs; the larger, the lower "
        "the learning rate or training.gradient_clip_norm that it needs.",
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
    the task. The loss of the first is a sum over whole matrices, thousands at times: under plain
    gradient descent the rates that do not diverge depend on both networks, so unless the job
    names an optimizer for it the stage has Adam, which does not see how a loss is scaled. Its
    rate of 0.001 is the one that the paper begins with.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("fsp", "training")
    STAGE_OPTIMIZERS: ClassVar[Mapping[str, OptimizerSpec]] = {"fsp": Adam(learning_rate=1e-3)}
    PAIRING: ClassVar[Pairing] = "flows"
    SHAPES: ClassVar[FittingShapes] = "equal_channels"

    name: Literal["fsp"] = "fsp"
    layers: FlowPairs = Field((), description="The flows; empty: chosen by the sizes of maps.")
