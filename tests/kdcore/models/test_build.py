"""Building by description: seeds, devices, and what is refused."""

# B batch, C channels, H height, W width

import subprocess
import sys

import pytest
import torch

from kdcore.errors import IncompatibleInputs
from kdcore.models import build_network
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

ARCHITECTURES: list[Architecture] = [
    Mlp(hidden=(12, 7), dropout=0.2),
    Cnn(layers=(Conv(channels=4), ActivationLayer(), Pool(), Linear(features=6))),
    ResnetCifar(depth=8, width=4),
    Wrn(depth=10, dropout=0.3),
    TorchvisionClassifier(architecture="torchvision/resnet18"),
]


def _describe(architecture: Architecture) -> NetworkDescription:
    image = ImageInput(channels=3, height=32, width=32)
    return NetworkDescription(architecture=architecture, input=image, num_classes=5)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.architecture)
class TestBuildNetwork:
    def test_logits_have_one_column_a_class(self, architecture: Architecture) -> None:
        network = build_network(_describe(architecture), seed=0)

        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 5)

    def test_same_seed_gives_the_same_bits(self, architecture: Architecture) -> None:
        first = build_network(_describe(architecture), seed=3).state_dict()
        torch.rand(17)  # moves the global generator
        second = build_network(_describe(architecture), seed=3).state_dict()

        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_another_seed_gives_other_weights(self, architecture: Architecture) -> None:
        first = build_network(_describe(architecture), seed=3).state_dict()
        second = build_network(_describe(architecture), seed=4).state_dict()

        assert any(not torch.equal(first[name], second[name]) for name in first)

    @pytest.mark.parametrize("seed", [None, 3])
    def test_global_generator_is_left_as_it_was(
        self, architecture: Architecture, seed: int | None
    ) -> None:
        torch.manual_seed(11)
        expected = torch.rand(3)
        torch.manual_seed(11)

        build_network(_describe(architecture), seed=seed)

        assert torch.equal(torch.rand(3), expected)

    def test_on_meta_names_shapes_and_types_are_the_same(self, architecture: Architecture) -> None:
        real = build_network(_describe(architecture)).state_dict()

        on_meta = build_network(_describe(architecture), device="meta").state_dict()

        assert all(tensor.is_meta for tensor in on_meta.values())
        assert {name: (tensor.shape, tensor.dtype) for name, tensor in on_meta.items()} == {
            name: (tensor.shape, tensor.dtype) for name, tensor in real.items()
        }

    def test_network_is_in_training_mode_and_float32(self, architecture: Architecture) -> None:
        network = build_network(_describe(architecture), device="meta")

        assert all(module.training for module in network.modules())
        assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_default_device_of_the_caller_changes_nothing() -> None:
    description = _describe(Mlp(hidden=(4,)))
    expected = build_network(description, seed=0).state_dict()

    with torch.device("meta"):
        weights = build_network(description, seed=0, device="cpu").state_dict()

    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_network_of_ten_billion_parameters_is_refused_before_it_is_allocated() -> None:
    absurd = _describe(Mlp(hidden=(65_536, 65_536, 65_536, 65_536)))

    with pytest.raises(IncompatibleInputs, match=r"at most 2,000,000,000 are accepted") as raised:
        build_network(absurd)

    assert raised.value.code == "network_too_large"


def test_torchvision_is_not_imported_for_other_architectures() -> None:
    script = (
        "import sys\n"
        "from kdcore.models import build_network\n"
        "from kdcore.spec import parse_network\n"
        "build_network(parse_network({'architecture': {'architecture': 'mlp', 'hidden': [4]},"
        " 'input': {'channels': 1, 'height': 4, 'width': 4}, 'num_classes': 2}))\n"
        "assert 'torchvision' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
