"""Which layers can be tapped, under which names and with which shapes."""

import torch

from kdcore.catalog.layer_shapes import INPUT, LayerShape
from kdcore.models import build_network, tappable_layers
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


def _describe(architecture: Architecture) -> NetworkDescription:
    image = ImageInput(channels=3, height=32, width=32)
    return NetworkDescription(architecture=architecture, input=image, num_classes=10)


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    return {layer.name: layer.shape for layer in tappable_layers(_describe(architecture))}


def test_layers_of_a_cnn_are_the_declared_ones_and_what_linear_ones_take_in() -> None:
    cnn = Cnn(layers=(Conv(channels=4), ActivationLayer(), Pool(), Linear(features=6)))

    assert tappable_layers(_describe(cnn)) == (
        LayerShape("layers.0", (4, 32, 32)),
        LayerShape("layers.1", (4, 32, 32)),
        LayerShape("layers.2", (4, 16, 16)),
        LayerShape("layers.3@input", (4 * 16 * 16,)),
        LayerShape("layers.3", (6,)),
        LayerShape("classifier@input", (6,)),
        LayerShape("classifier", (10,)),
    )


def test_stages_and_blocks_of_a_resnet_are_listed_beside_their_layers() -> None:
    shapes = _shapes(ResnetCifar(depth=14))

    assert shapes["layer1"] == (16, 32, 32)
    assert shapes["layer2.1"] == (32, 16, 16)
    assert shapes["layer3.0.downsample"] == (64, 8, 8)
    assert shapes["layer3"] == (64, 8, 8)
    assert shapes["fc@input"] == (64,)
    assert shapes["fc"] == (10,)


def test_hidden_layers_of_an_mlp_and_blocks_of_a_wrn_are_listed() -> None:
    assert _shapes(Mlp(hidden=(7, 5)))["hidden.1"] == (5,)
    assert _shapes(Wrn(depth=10, widen_factor=2))["block2"] == (64, 16, 16)


def test_module_that_runs_twice_in_one_pass_is_left_out() -> None:
    shapes = _shapes(TorchvisionClassifier(architecture="torchvision/resnet18"))

    assert "layer1.0.relu" not in shapes
    assert shapes["layer1.0"] == (64, 8, 8)


def test_layers_of_an_equal_network_are_not_worked_out_again() -> None:
    first = tappable_layers(_describe(ResnetCifar(depth=14)))

    assert tappable_layers(_describe(ResnetCifar(depth=14))) is first
    assert tappable_layers(_describe(ResnetCifar(depth=20))) != first


def test_every_listed_name_is_a_module_with_that_output_or_input() -> None:
    description = _describe(ResnetCifar(depth=8))
    network = build_network(description).eval()
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str, value: torch.Tensor) -> None:
        seen[name] = tuple(value.shape[1:])

    for layer in tappable_layers(description):
        module = network.get_submodule(layer.name.removesuffix(INPUT))
        if layer.name.endswith(INPUT):
            module.register_forward_pre_hook(
                lambda _module, inputs, name=layer.name: note(name, inputs[0])
            )
        else:
            module.register_forward_hook(
                lambda _module, _inputs, output, name=layer.name: note(name, output)
            )
    network(torch.rand(1, 3, 32, 32))

    assert seen == {layer.name: layer.shape for layer in tappable_layers(description)}
    assert list(seen) == [layer.name for layer in tappable_layers(description)]
