"""Strided 1x1 convolutions of few channels: trained without harm, and the same numbers."""

# B batch, C channels, H height, W width

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from kdcore.catalog.cost import network_cost
from kdcore.catalog.layer_shapes import layer_shapes
from kdcore.models import build_network, count_flops, count_parameters, tappable_layers
from kdcore.models.pointwise_convolution import (
    SAFE_CHANNELS,
    SubsampledPointwiseConv2d,
    make_convolution,
)
from kdcore.spec import (
    Architecture,
    Cnn,
    ImageInput,
    NetworkDescription,
    ResnetCifar,
    TorchvisionClassifier,
    Wrn,
)
from kdcore.spec.architectures import Conv
from tests.kdcore.models.narrow_training import NARROW_ARCHITECTURES, train_narrow_networks


def _describe(architecture: Architecture, *, channels: int = 3) -> NetworkDescription:
    image = ImageInput(channels=channels, height=32, width=32)
    return NetworkDescription(architecture=architecture, input=image, num_classes=10)


# With one thread an unsafe kernel ends the process, with two it gives wrong gradients.
@pytest.mark.parametrize("num_threads", [1, 2])
def test_narrow_networks_train_to_the_end_with_right_gradients(num_threads: int) -> None:
    spawn(train_narrow_networks, args=(num_threads,), nprocs=1)  # type: ignore[no-untyped-call]  # torch leaves it untyped


@pytest.mark.parametrize("stride", [2, 3, 16])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 5)])
def test_outputs_and_gradients_are_those_of_the_plain_convolution(
    stride: int, size: tuple[int, int]
) -> None:
    # In float64 the plain convolution is sound.
    made = make_convolution(3, 5, 1, stride=stride, padding=0, bias=True).double()
    plain = nn.Conv2d(3, 5, 1, stride=stride).double()
    plain.load_state_dict(made.state_dict())
    images_BCHW = torch.rand(2, 3, *size, dtype=torch.float64)
    seen, expected = (images_BCHW.clone().requires_grad_() for _ in range(2))

    found_BCHW, plain_BCHW = made(seen), plain(expected)
    found_BCHW.sin().sum().backward()
    plain_BCHW.sin().sum().backward()

    assert isinstance(made, SubsampledPointwiseConv2d)
    torch.testing.assert_close(found_BCHW, plain_BCHW)
    torch.testing.assert_close(seen.grad, expected.grad)
    torch.testing.assert_close(made.weight.grad, plain.weight.grad)
    assert made.bias is not None
    assert plain.bias is not None
    torch.testing.assert_close(made.bias.grad, plain.bias.grad)


@pytest.mark.parametrize(
    ("entering", "kernel_size", "stride", "padding"),
    [(SAFE_CHANNELS, 1, 2, 0), (4, 1, 1, 0), (4, 1, 2, 1), (4, 3, 2, 1)],
)
def test_convolutions_that_are_safe_stay_plain(
    entering: int, kernel_size: int, stride: int, padding: int
) -> None:
    made = make_convolution(entering, 8, kernel_size, stride=stride, padding=padding, bias=False)

    assert type(made) is nn.Conv2d


def test_first_weights_and_names_are_those_of_the_plain_convolution() -> None:
    torch.manual_seed(0)
    made = make_convolution(4, 8, 1, stride=2, padding=0, bias=True)
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 8, 1, stride=2)

    assert list(made.state_dict()) == list(plain.state_dict())
    assert torch.equal(made.weight, plain.weight)


@pytest.mark.parametrize("architecture", NARROW_ARCHITECTURES)
def test_costs_and_layers_are_those_worked_out_without_torch(architecture: Architecture) -> None:
    description = _describe(architecture)
    network = build_network(description, device="meta")

    cost = network_cost(description)

    assert cost is not None
    assert cost.parameters == count_parameters(network)
    assert cost.flops == count_flops(network, description.input)
    assert tappable_layers(description) == layer_shapes(description)


@pytest.mark.parametrize(
    "architecture",
    [
        *NARROW_ARCHITECTURES,
        ResnetCifar(depth=8, width=2, stem_width=5),
        Wrn(depth=10),
        Cnn(layers=(Conv(channels=2, kernel_size=1, stride=16, padding=0),)),
        # Of torchvision's, only resnets and regnets have strided 1x1 convolutions.
        TorchvisionClassifier(architecture="torchvision/regnet_x_400mf"),
        TorchvisionClassifier(architecture="torchvision/regnet_y_400mf"),
        TorchvisionClassifier(architecture="torchvision/resnet18"),
        TorchvisionClassifier(architecture="torchvision/resnet50"),
    ],
)
def test_no_network_holds_an_unsafe_convolution(architecture: Architecture) -> None:
    network = build_network(_describe(architecture), device="meta")

    unsafe = [
        name
        for name, module in network.named_modules()
        if type(module) is nn.Conv2d
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.padding == (0, 0)
        and module.in_channels < SAFE_CHANNELS
    ]
    assert unsafe == []
