"""Layers that can be tapped: their names and shapes. Free of torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

INPUT = "@input"
"""`fc@input` is what the layer `fc` takes in; `fc` alone is what it gives."""

Shape = tuple[int, ...]
"""Of one image, without the batch: (channels, height, width) of a map, (features,) of a vector."""

LayerShapes = Mapping[str, Shape]
"""Shapes by name, in the order in which a forward pass has them, such as layer2: (64, 8, 8)."""


@dataclass(frozen=True)
class LayerShape:
    """A layer that can be tapped, by its name."""

    name: str
    shape: Shape


def by_name(layers: Iterable[LayerShape]) -> LayerShapes:
    """Give the shapes of `layers` by name, in the same order."""
    return {layer.name: layer.shape for layer in layers}
