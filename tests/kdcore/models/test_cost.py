"""Counts that the documentation promises, to the last digit."""

import pytest
import torch
from torch import nn

from kdcore.models import build_network, count_flops, count_parameters
from kdcore.spec import (
    Architecture,
    Cnn,
    CnnLayer,
    ImageInput,
    Mlp,
    NetworkDescription,
    ResnetCifar,
    TorchvisionClassifier,
)
from kdcore.spec.architectures import ActivationLayer, Conv, Linear, Pool


def _cnn_64_128_256() -> Cnn:
    layers: list[CnnLayer] = []
    for channels in (64, 128, 256):
        layers += [Conv(channels=channels), ActivationLayer(), Pool()]
    return Cnn(layers=(*layers, Linear(features=128), ActivationLayer()))


@pytest.mark.parametrize(
    ("architecture", "num_parameters", "num_flops"),
    [
        (TorchvisionClassifier(architecture="torchvision/resnet34"), 21_289_802, 149_530_624),
        (_cnn_64_128_256(), 896_522, 80_087_552),
        (ResnetCifar(depth=20), 272_474, 81_626_368),
        (ResnetCifar(depth=56), 855_770, 251_495_680),
    ],
    ids=["resnet34", "cnn", "resnet20", "resnet56"],
)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_counts_at_ten_classes_and_32x32_pixels(
    architecture: Architecture, num_parameters: int, num_flops: int, device: str
) -> None:
    image = ImageInput(channels=3, height=32, width=32)
    description = NetworkDescription(architecture=architecture, input=image, num_classes=10)
    network = build_network(description, device=device)

    assert count_parameters(network) == num_parameters
    assert count_flops(network, image) == num_flops


def test_multiply_add_counts_as_two_operations() -> None:
    image = ImageInput(channels=1, height=2, width=3)
    description = NetworkDescription(architecture=Mlp(hidden=(5,)), input=image, num_classes=4)

    assert count_flops(build_network(description), image) == 2 * (6 * 5 + 5 * 4)


def test_weights_used_twice_count_once_and_buffers_do_not_count() -> None:
    shared = nn.Linear(3, 3)
    network = nn.Sequential(shared, shared, nn.BatchNorm1d(3))

    assert count_parameters(network) == 3 * 3 + 3 + 3 + 3


def test_counting_leaves_the_network_in_training_mode() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))

    count_flops(network, ImageInput(channels=3, height=2, width=2))

    assert network.training
    assert not network[1].weight.is_meta
    assert network(torch.rand(1, 3, 2, 2)).shape == (1, 2)
