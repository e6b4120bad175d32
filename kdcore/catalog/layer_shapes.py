"""Layers that can be tapped, their names and shapes, by arithmetic alone. Free of torch."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from kdcore.catalog.cnn_shapes import features_after, plan_cnn
from kdcore.spec.architectures import (
    Cnn,
    Linear,
    Mlp,
    ResnetCifar,
    ReusedClassifier,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.networks import ImageInput, NetworkDescription

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


def layer_shapes(description: NetworkDescription) -> tuple[LayerShape, ...] | None:
    """List what `kdcore.models.tappable_layers` lists, in its order.

    None for `torchvision/<name>` and a `reused_classifier`, which only torch knows.

    Raises:
        SpecInvalid, IncompatibleInputs: as `plan_cnn`, for a `cnn` whose layers do not fit.
    """
    match description.architecture:
        case Mlp() as mlp:
            return tuple(_mlp(mlp, description))
        case Cnn() as cnn:
            return tuple(_cnn(cnn, description))
        case ResnetCifar() as resnet:
            return tuple(_resnet_cifar(resnet, description))
        case Wrn() as wrn:
            return tuple(_wrn(wrn, description))
        case ReusedClassifier() | TorchvisionClassifier():
            return None


def _mlp(mlp: Mlp, description: NetworkDescription) -> Iterator[LayerShape]:
    features = prod(description.input.shape_CHW)
    yield LayerShape("input_dropout", (features,))
    for index, units in enumerate(mlp.hidden):
        name = f"hidden.{index}"
        yield from _linear(f"{name}.linear", features, units)
        yield from _each((f"{name}.activation", f"{name}.dropout", name), (units,))
        features = units
    yield LayerShape("hidden", (features,))
    yield from _linear("classifier", features, description.num_classes)


def _cnn(cnn: Cnn, description: NetworkDescription) -> Iterator[LayerShape]:
    planned = plan_cnn(cnn, description.input)
    for index, layer in enumerate(planned):
        if isinstance(layer.layer, Linear):
            yield LayerShape(f"layers.{index}{INPUT}", layer.input_shape)
        yield LayerShape(f"layers.{index}", layer.output_shape)
    yield from _linear("classifier", features_after(planned), description.num_classes)


def _resnet_cifar(resnet: ResnetCifar, description: NetworkDescription) -> Iterator[LayerShape]:
    entering = resnet.stem_width or resnet.width
    yield from _each(("conv1", "bn1"), (entering, *_size(description.input, halvings=0)))
    for stage in range(3):
        shape = (resnet.width * 2**stage, *_size(description.input, halvings=stage))
        for index in range((resnet.depth - 2) // 6):
            block = f"layer{stage + 1}.{index}"
            yield from _each((f"{block}.conv1", f"{block}.bn1"), shape)
            if index == 0 and (stage > 0 or entering != shape[0]):
                shortcut = f"{block}.downsample"
                yield from _each((f"{shortcut}.0", f"{shortcut}.1", shortcut), shape)
            yield from _each((f"{block}.conv2", f"{block}.bn2", block), shape)
        yield LayerShape(f"layer{stage + 1}", shape)
    yield from _linear("fc", shape[0], description.num_classes)


def _wrn(wrn: Wrn, description: NetworkDescription) -> Iterator[LayerShape]:
    shape: Shape = (16, *_size(description.input, halvings=0))
    yield LayerShape("conv1", shape)
    for stage in range(3):
        entering = shape
        shape = (
            16 * wrn.widen_factor * 2**stage,
            *_size(description.input, halvings=stage),
        )
        for index in range((wrn.depth - 4) // 6):
            block = f"block{stage + 1}.layer.{index}"
            yield LayerShape(f"{block}.bn1", entering)
            yield from _each((f"{block}.conv1", f"{block}.bn2", f"{block}.dropout"), shape)
            if entering[0] != shape[0]:
                yield LayerShape(f"{block}.convShortcut", shape)
            yield from _each((f"{block}.conv2", block), shape)
            entering = shape
        yield from _each((f"block{stage + 1}.layer", f"block{stage + 1}"), shape)
    yield LayerShape("bn1", shape)
    yield from _linear("fc", shape[0], description.num_classes)


def _linear(name: str, entering: int, leaving: int) -> Iterator[LayerShape]:
    yield LayerShape(f"{name}{INPUT}", (entering,))
    yield LayerShape(name, (leaving,))


def _each(names: Iterable[str], shape: Shape) -> Iterator[LayerShape]:
    return (LayerShape(name, shape) for name in names)


def _size(image: ImageInput, *, halvings: int) -> tuple[int, int]:
    """Give height and width after 3x3 convolutions with padding 1, `halvings` of them stride 2."""
    height, width = image.height, image.width
    for _ in range(halvings):
        height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    return height, width
