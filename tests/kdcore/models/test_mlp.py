"""What an mlp computes and how it is laid out."""

# B batch, C channels, H height, W width

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.models import build_network
from kdcore.spec import ImageInput, Mlp, NetworkDescription

IMAGE = ImageInput(channels=2, height=3, width=4)


def _build(architecture: Mlp) -> nn.Module:
    description = NetworkDescription(architecture=architecture, input=IMAGE, num_classes=3)
    return build_network(description, seed=0)


def test_logits_are_two_linear_layers_with_the_activation_between() -> None:
    network = _build(Mlp(hidden=(5,), activation="tanh"))
    images_BCHW = torch.rand(4, 2, 3, 4)
    state = network.state_dict()

    hidden = torch.tanh(
        images_BCHW.flatten(1) @ state["hidden.0.linear.weight"].T + state["hidden.0.linear.bias"]
    )
    expected = hidden @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(network(images_BCHW), expected)


def test_without_hidden_layers_it_is_linear() -> None:
    network = _build(Mlp(hidden=()))

    assert set(network.state_dict()) == {"classifier.weight", "classifier.bias"}
    assert network(torch.rand(2, 2, 3, 4)).shape == (2, 3)


def test_memory_layout_of_the_images_does_not_change_the_logits() -> None:
    network = _build(Mlp(hidden=(5,)))
    images_BCHW = torch.rand(4, 2, 3, 4)

    channels_last = network(images_BCHW.to(memory_format=torch.channels_last))

    torch.testing.assert_close(channels_last, network(images_BCHW))


def test_input_dropout_drops_pixels_and_dropout_drops_hidden_units_in_training_only() -> None:
    network = _build(Mlp(hidden=(400,), dropout=0.5, input_dropout=0.25))
    images_BCHW = torch.rand(1, 2, 3, 4)
    dropped = {}
    for name in ("input_dropout", "hidden.0.dropout"):
        module = network.get_submodule(name)
        assert isinstance(module, nn.Dropout)
        dropped[name] = module.p

    assert dropped == {"input_dropout": 0.25, "hidden.0.dropout": 0.5}
    assert not torch.equal(network(images_BCHW), network(images_BCHW))
    network.eval()
    assert torch.equal(network(images_BCHW), network(images_BCHW))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", F.relu),
        ("leaky_relu", F.leaky_relu),
        ("gelu", F.gelu),
        ("silu", F.silu),
        ("tanh", torch.tanh),
    ],
)
def test_each_activation_is_the_function_of_its_name(name: str, function: nn.Module) -> None:
    network = _build(Mlp.model_validate({"hidden": (5,), "activation": name}))
    values = torch.linspace(-2, 2, 9)
    kept = values.clone()

    assert torch.equal(network.get_submodule("hidden.0.activation")(values), function(values))
    assert torch.equal(values, kept), "an activation must not work in place"
