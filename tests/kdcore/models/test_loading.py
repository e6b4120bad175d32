"""Plain tensors go into every network, also where torch asks for more than tensors."""

import pytest
import torch

from kdcore.models import build_network, load_weights
from kdcore.spec import Architecture, ImageInput, Mlp, NetworkDescription, TorchvisionClassifier

# mnasnet refuses a state dict without the layout version that torch keeps beside the tensors.
ARCHITECTURES: list[Architecture] = [
    Mlp(hidden=(4,)),
    TorchvisionClassifier(architecture="torchvision/mnasnet0_5"),
]


def _describe(architecture: Architecture) -> NetworkDescription:
    image = ImageInput(channels=3, height=32, width=32)
    return NetworkDescription(architecture=architecture, input=image, num_classes=3)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.architecture)
@pytest.mark.parametrize("assign", [False, True])
def test_tensors_arrive_bit_for_bit(architecture: Architecture, assign: bool) -> None:
    weights = dict(build_network(_describe(architecture), seed=1).state_dict())
    network = build_network(_describe(architecture), seed=2, device="meta" if assign else "cpu")

    load_weights(network, weights, assign=assign)

    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_the_mapping_that_was_given_is_left_as_it_was() -> None:
    weights = dict(build_network(_describe(Mlp(hidden=(4,))), seed=1).state_dict())
    names = list(weights)

    load_weights(build_network(_describe(Mlp(hidden=(4,)))), weights)

    assert list(weights) == names


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_of_another_network_are_refused(change: str) -> None:
    network = build_network(_describe(Mlp(hidden=(4,))), seed=1)
    weights = dict(network.state_dict())
    if change == "missing":
        del weights["classifier.bias"]
    elif change == "unexpected":
        weights["more"] = torch.zeros(1)
    else:
        weights["classifier.bias"] = torch.zeros(4)

    with pytest.raises(RuntimeError):
        load_weights(network, weights)
