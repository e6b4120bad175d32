"""The wide residual networks: size, names, dropout."""

# B batch, C channels, H height, W width

import pytest
from torch import nn

from kdcore.models import build_network, count_parameters
from kdcore.spec import ImageInput, NetworkDescription, Wrn


def _build(architecture: Wrn, *, num_classes: int = 10) -> nn.Module:
    image = ImageInput(channels=3, height=32, width=32)
    description = NetworkDescription(
        architecture=architecture, input=image, num_classes=num_classes
    )
    return build_network(description, device="meta")


@pytest.mark.parametrize(
    ("depth", "widen_factor", "millions"),
    # Table 4 of the paper, CIFAR-10.
    [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (16, 8, 11.0), (22, 8, 17.2), (28, 10, 36.5)],
)
def test_parameters_are_those_of_the_paper(depth: int, widen_factor: int, millions: float) -> None:
    network = _build(Wrn(depth=depth, widen_factor=widen_factor))

    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.06)


def test_depth_counts_the_convolutions_with_the_shortcuts() -> None:
    network = _build(Wrn(depth=16, widen_factor=2))

    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 16


def test_names_are_the_usual_ones() -> None:
    names = set(_build(Wrn(depth=10, widen_factor=2)).state_dict())

    assert {
        "conv1.weight",
        "block1.layer.0.bn1.weight",
        "block1.layer.0.convShortcut.weight",
        "block3.layer.0.conv2.weight",
        "bn1.running_var",
        "fc.weight",
    } <= names


def test_without_widening_the_first_stage_has_no_shortcut_convolution() -> None:
    names = set(_build(Wrn(depth=10)).state_dict())

    assert "block1.layer.0.convShortcut.weight" not in names
    assert "block2.layer.0.convShortcut.weight" in names


def test_every_block_drops_out_with_the_given_probability() -> None:
    network = _build(Wrn(depth=16, dropout=0.3))

    rates = [module.p for module in network.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.3] * 6
