"""Small methods, one for each way of pairing, that the tests resolve."""

from typing import ClassVar

from kdcore.spec.methods import MethodFields
from kdcore.spec.methods.base import FittingShapes, Pairing
from kdcore.spec.methods.layers import FlowPairs, LayerPairs


class PairsMethod(MethodFields):
    layers: LayerPairs = ()


class EveryStage(PairsMethod):
    PAIRING: ClassVar[Pairing] = "stages"


class MiddleStage(PairsMethod):
    PAIRING: ClassVar[Pairing] = "middle"


class MapsOfOneSize(PairsMethod):
    PAIRING: ClassVar[Pairing] = "stages"
    SHAPES: ClassVar[FittingShapes] = "equal_size"


class AnyMaps(PairsMethod):
    PAIRING: ClassVar[Pairing] = "stages"
    SHAPES: ClassVar[FittingShapes] = "maps"


class Embedding(PairsMethod):
    PAIRING: ClassVar[Pairing] = "embedding"


class AnyEmbedding(PairsMethod):
    PAIRING: ClassVar[Pairing] = "embedding"
    SHAPES: ClassVar[FittingShapes] = "any"


class LastMaps(PairsMethod):
    PAIRING: ClassVar[Pairing] = "last_map"
    SHAPES: ClassVar[FittingShapes] = "any"


class Flows(MethodFields):
    PAIRING: ClassVar[Pairing] = "flows"
    SHAPES: ClassVar[FittingShapes] = "equal_channels"
    layers: FlowPairs = ()
