"""Layers of networks of every family, as the tests of pairing take them."""

from functools import cache

from kdcore.catalog.layer_shapes import LayerShapes, by_name
from kdcore.models import tappable_layers
from kdcore.spec import (
    Architecture,
    Cnn,
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.architectures import ActivationLayer, Conv, Linear, Pool

RESNET8 = ResnetCifar(depth=8)
RESNET20 = ResnetCifar(depth=20)
WIDE_RESNET20 = ResnetCifar(depth=20, width=32)
WRN16 = Wrn(depth=16)
SMALL_CNN = Cnn(
    layers=(
        Conv(channels=4),
        ActivationLayer(),
        Pool(),
        Conv(channels=8),
        ActivationLayer(),
        Pool(),
        Linear(features=16),
        ActivationLayer(),
    )
)
MLP2 = Mlp(hidden=(7, 5))
MLP3 = Mlp(hidden=(7, 6, 5))


@cache
def layers_of(architecture: Architecture, *, side: int = 32) -> LayerShapes:
    image = ImageInput(channels=3, height=side, width=side)
    return by_name(
        tappable_layers(NetworkDescription(architecture=architecture, input=image, num_classes=10))
    )


def torchvision_layers(name: str, *, side: int) -> LayerShapes:
    return layers_of(TorchvisionClassifier(architecture=f"torchvision/{name}"), side=side)
