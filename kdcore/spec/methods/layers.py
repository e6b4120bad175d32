"""Layers by name, as methods that compare them take them."""

from typing import Annotated, Literal

from pydantic import Field

from kdcore.spec.base import SpecModel

LayerName = Annotated[str, Field(min_length=1, max_length=200)]
Adapter = Literal["none", "conv1x1", "linear"]


class LayerPair(SpecModel):
    """A layer of the student that learns from a layer of the teacher.

    Names are those that `GET /v1/models/{id}` lists: `layer2` is what the layer gives, `fc@input`
    what the layer `fc` takes in.
    """

    teacher: LayerName
    student: LayerName
    adapter: Adapter = Field(
        "none",
        description="How the student's layer is brought to the teacher's channels: `conv1x1` for "
        "maps, `linear` for vectors; trained with the student, never exported.",
    )


class FlowPair(SpecModel):
    """Two layers of each network; what flows from the first to the second is compared."""

    teacher: Annotated[tuple[LayerName, LayerName], Field(strict=False)] = Field(
        description="Where the flow begins and ends in the teacher."
    )
    student: Annotated[tuple[LayerName, LayerName], Field(strict=False)] = Field(
        description="Where it begins and ends in the student."
    )
    weight: float = Field(1.0, gt=0.0, le=1e6, description="Its share of the sum.")
    adapter: Literal["none", "conv1x1"] = Field(
        "none", description="Brings both of the student's layers to the teacher's channels."
    )


LayerPairs = Annotated[tuple[LayerPair, ...], Field(strict=False, max_length=64)]
FlowPairs = Annotated[tuple[FlowPair, ...], Field(strict=False, max_length=64)]
