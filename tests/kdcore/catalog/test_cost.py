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
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Linear, Norm, Pool

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
