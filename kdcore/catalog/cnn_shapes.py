"""Shapes through a declared `cnn`, worked out without torch; says which layer does not fit."""

from dataclasses import dataclass
from math import prod

from kdcore.errors import IncompatibleInputs, Problem, SpecInvalid
from kdcore.spec.architectures import (
    ActivationLayer,
    Cnn,
    CnnLayer,
    Conv,
    Dropout,
    Linear,
    Norm,
    Pool,
)
from kdcore.spec.networks import ImageInput

Shape = tuple[int, ...]
"""(channels, height, width) of a map, or (features,) after a linear layer; no batch."""


@dataclass(frozen=True)
class PlannedLayer:
    """One declared layer with the shapes that go in and come out.

    A linear layer's `input_shape` is flat even where a map comes before it.
    """

    layer: CnnLayer
    input_shape: Shape
    output_shape: Shape


def plan_cnn(architecture: Cnn, image: ImageInput) -> tuple[PlannedLayer, ...]:
    """Give each declared layer its shapes, for images of the size of `image`.

    Pointers in the errors start at the architecture: `/layers/<i>`.

    Raises:
        SpecInvalid: a layer stands where it can never stand, such as a conv after a linear.
        IncompatibleInputs: a conv or pool is larger than the map that reaches it.
    """
    shape: Shape = image.shape_CHW
    planned = []
    for index, layer in enumerate(architecture.layers):
        entering = (prod(shape),) if isinstance(layer, Linear) else shape
        shape = _output_shape(layer, entering, pointer=f"/layers/{index}")
        planned.append(PlannedLayer(layer, entering, shape))
    return tuple(planned)


def features_after(planned: tuple[PlannedLayer, ...]) -> int:
    """Count the values of one image that reach the final classifying layer."""
    return prod(planned[-1].output_shape)


def _output_shape(layer: CnnLayer, entering: Shape, *, pointer: str) -> Shape:
    match layer:
        case Linear():
            return (layer.features,)
        case Norm() | Dropout() | ActivationLayer():
            return entering
        case Conv() | Pool():
            if len(entering) != 3:
                raise SpecInvalid([_needs_a_map(layer, entering, pointer)])
            return _map_shape(layer, entering, pointer=pointer)


def _map_shape(layer: Conv | Pool, entering: Shape, *, pointer: str) -> Shape:
    channels, height, width = entering
    if isinstance(layer, Pool) and layer.kind == "global_average":
        return channels, 1, 1
    if isinstance(layer, Conv):
        leaving: Shape = (
            layer.channels,
            (height + 2 * layer.padding - layer.kernel_size) // layer.stride + 1,
            (width + 2 * layer.padding - layer.kernel_size) // layer.stride + 1,
        )
        window = f"kernel_size {layer.kernel_size} with padding {layer.padding}"
        advice = "Use a smaller kernel_size or more padding"
    else:
        leaving = channels, height // layer.size, width // layer.size
        window = f"size {layer.size}"
        advice = "Use a smaller size"
    if min(leaving) < 1:
        raise IncompatibleInputs(
            "layer_does_not_fit",
            f"The {layer.layer} at {pointer} ({window}) is larger than the {height}x{width} map "
            f"that reaches it. {advice}, fewer layers that shrink the map, or larger images.",
            pointer=pointer,
        )
    return leaving


def _needs_a_map(layer: Conv | Pool, entering: Shape, pointer: str) -> Problem:
    return Problem(
        pointer,
        "layer_after_linear",
        f"A {layer.layer} needs a map of channels x height x width, and a linear layer before it "
        f"has left {entering[0]} flat features. Move it before the first linear layer.",
    )
