"""Costs by arithmetic equal those of the networks themselves."""

import pytest

from kdcore.catalog.cost import Cost, check_network_size, network_cost
from kdcore.errors import IncompatibleInputs, SpecInvalid
from kdcore.models import build_network, count_flops, count_parameters
from kdcore.spec import (
    Architecture,
    Cnn,
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    ReusedClassifier,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.architectures import ActivationLayer, Backbone, Conv, Dropout, Linear, Norm, Pool


def _reused(backbone: Backbone, layer: str, *, side: int) -> ReusedClassifier:
    return ReusedClassifier(
        backbone=backbone, layer=layer, channels=10, bottleneck=4, height=side, width=side
    )


CNN = Cnn(layers=(Conv(channels=6), Pool(), Conv(channels=9, bias=False), Norm()))
ARCHITECTURES: list[Architecture] = [
    Mlp(hidden=()),
    Mlp(hidden=(1200, 1200), dropout=0.5),
    Cnn(
        layers=(
            Conv(channels=6, kernel_size=5, stride=2, padding=2, bias=False),
            Norm(),
            ActivationLayer(),
            Pool(kind="average", size=3),
            Conv(channels=9, padding=0),
            Pool(kind="global_average"),
            Dropout(),
            Linear(features=11, bias=False),
            Norm(),
            Linear(features=13),
        )
    ),
    Cnn(layers=(Norm(),)),
    ResnetCifar(depth=8),
    ResnetCifar(depth=20, width=7),
    ResnetCifar(depth=14, width=12, stem_width=5),
    Wrn(depth=10),
    Wrn(depth=16, widen_factor=3, dropout=0.1),
    _reused(Mlp(hidden=()), "classifier@input", side=1),
    _reused(Mlp(hidden=(20, 11)), "classifier@input", side=1),
    _reused(CNN, "layers.3", side=5),
    _reused(CNN, "classifier@input", side=1),
    _reused(ResnetCifar(depth=8, width=5), "layer3", side=4),
    _reused(ResnetCifar(depth=8), "fc@input", side=1),
    _reused(Wrn(depth=10), "bn1", side=3),
    _reused(Wrn(depth=10, widen_factor=2), "fc@input", side=1),
]


def _describe(
    architecture: Architecture, shape_CHW: tuple[int, int, int] = (3, 32, 32)
) -> NetworkDescription:
    channels, height, width = shape_CHW
    image = ImageInput(channels=channels, height=height, width=width)
    return NetworkDescription(architecture=architecture, input=image, num_classes=17)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("shape_CHW", [(1, 28, 28), (3, 32, 32), (4, 31, 19)], ids=str)
def test_cost_is_that_of_the_network(
    architecture: Architecture, shape_CHW: tuple[int, int, int]
) -> None:
    description = _describe(architecture, shape_CHW)
    network = build_network(description, device="meta")

    assert network_cost(description) == Cost(
        parameters=count_parameters(network), flops=count_flops(network, description.input)
    )


def test_torchvision_is_left_to_torchvision() -> None:
    classifier = TorchvisionClassifier(architecture="torchvision/resnet18")

    assert network_cost(_describe(classifier)) is None
    check_network_size(_describe(classifier))


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        (ResnetCifar(depth=8), "layer2"),
        (CNN, "layers.1"),
        (Wrn(depth=10), "block3"),
        (TorchvisionClassifier(architecture="torchvision/resnet18"), "layer4"),
    ],
    ids=str,
)
def test_backbone_cut_elsewhere_is_left_to_torch(backbone: Backbone, layer: str) -> None:
    description = _describe(_reused(backbone, layer, side=4))

    assert network_cost(description) is None
    check_network_size(description)


def test_backbone_above_the_limit_is_refused_although_it_is_cut() -> None:
    absurd = _reused(Mlp(hidden=(65_536, 65_536, 65_536)), "hidden.0", side=1)

    with pytest.raises(IncompatibleInputs, match=r"8,792,571,921 .* at most 2,000,000,000"):
        check_network_size(_describe(absurd))


def test_layers_that_do_not_fit_are_refused_here_as_in_building() -> None:
    with pytest.raises(SpecInvalid):
        network_cost(_describe(Cnn(layers=(Linear(features=2), Conv(channels=2)))))


def test_network_above_the_limit_is_refused_with_both_numbers() -> None:
    # 3072·65536 + 65536 + 2·(65536² + 65536) + 65536·17 + 17
    absurd = _describe(Mlp(hidden=(65_536, 65_536, 65_536)))

    with pytest.raises(IncompatibleInputs, match=r"8,792,571,921 .* at most 2,000,000,000"):
        check_network_size(absurd)


def test_network_below_the_limit_passes() -> None:
    check_network_size(_describe(Mlp(hidden=(30_000, 60_000))))
