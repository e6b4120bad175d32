"""The CIFAR residual networks: size, names, shortcuts, first weights."""

# B batch, C channels, H height, W width

import math

import pytest
import torch
from torch import nn

from kdcore.models import build_network, count_parameters
from kdcore.spec import ImageInput, NetworkDescription, ResnetCifar


def _build(architecture: ResnetCifar, *, device: str = "meta", num_classes: int = 10) -> nn.Module:
    image = ImageInput(channels=3, height=32, width=32)
    description = NetworkDescription(
        architecture=architecture, input=image, num_classes=num_classes
    )
    return build_network(description, device=device, seed=0)


@pytest.mark.parametrize(
    ("depth", "num_parameters"),
    # The paper's option A has 0.27, 0.46, 0.66, 0.85 and 1.7 million (table 6).
    [(20, 272_474), (32, 466_906), (44, 661_338), (56, 855_770), (110, 1_730_714)],
)
def test_parameters_at_the_depths_of_the_paper(depth: int, num_parameters: int) -> None:
    assert count_parameters(_build(ResnetCifar(depth=depth))) == num_parameters


def test_option_b_shortcuts_are_all_that_exceeds_the_paper() -> None:
    network = _build(ResnetCifar(depth=20))
    shortcuts = [m for name, m in network.named_modules() if name.endswith("downsample")]

    extra = sum(count_parameters(shortcut) for shortcut in shortcuts)

    assert len(shortcuts) == 2
    assert count_parameters(network) - extra == 269_722


def test_depth_counts_the_weighted_layers_without_shortcuts() -> None:
    network = _build(ResnetCifar(depth=26))

    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in name
    ]
    assert len(layers) == 26


def test_names_are_the_usual_ones() -> None:
    names = set(_build(ResnetCifar(depth=8)).state_dict())

    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer1.0.bn2.weight",
        "layer2.0.downsample.0.weight",
        "layer3.0.downsample.1.running_var",
        "fc.bias",
    } <= names
    assert "layer1.0.downsample.0.weight" not in names


def test_stem_of_another_width_gets_a_shortcut_in_the_first_stage() -> None:
    network = _build(ResnetCifar(depth=8, width=64, stem_width=32), num_classes=100)

    assert network.get_parameter("layer1.0.downsample.0.weight").shape == (64, 32, 1, 1)
    assert count_parameters(network) == 1_233_540


def test_convolutions_start_he_normal_over_fan_out() -> None:
    network = _build(ResnetCifar(depth=8), device="cpu")

    weight = network.get_parameter("layer3.0.conv2.weight")
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)


def test_each_block_relu_leaves_its_input_as_it_was() -> None:
    network = _build(ResnetCifar(depth=8), device="cpu")
    before: list[torch.Tensor] = []
    tapped: list[torch.Tensor] = []
    layer = network.get_submodule("layer1.0.bn1")

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        tapped.append(output)
        before.append(output.clone())

    layer.register_forward_hook(keep)

    network(torch.rand(2, 3, 32, 32))

    assert torch.equal(tapped[0], before[0])
    assert (tapped[0] < 0).any()
