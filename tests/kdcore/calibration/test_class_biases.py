"""The biases that a calibration shifts are found in every architecture that has them."""

# B batch, C classes

import pytest
import torch

from kdcore.calibration import add_to_class_biases, class_biases
from kdcore.catalog.class_biases import has_class_biases
from kdcore.catalog.torchvision_names import TORCHVISION_CLASSIFIERS
from kdcore.models import build_network
from kdcore.models.torchvision_import import import_torchvision_models
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
from kdcore.spec.architectures import Conv, Linear

OURS: tuple[Architecture, ...] = (
    Mlp(hidden=(6,)),
    Mlp(hidden=()),
    Cnn(layers=(Conv(channels=4), Linear(features=5))),
    ResnetCifar(depth=8, width=4),
    Wrn(depth=10),
)
# torchvision has a module for each kind of network; networks of one kind differ in size alone.
ONE_OF_EACH_KIND = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vgg11",
    "vit_b_32",
)


def describe(architecture: Architecture, *, side: int = 32) -> NetworkDescription:
    image = ImageInput(channels=3, height=side, width=side)
    return NetworkDescription(architecture=architecture, input=image, num_classes=7)


@pytest.mark.parametrize("architecture", OURS, ids=repr)
def test_offsets_move_every_logit_by_just_that(architecture: Architecture) -> None:
    description = describe(architecture)
    network = build_network(description, seed=0).eval()
    images_BCHW = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    offsets_C = torch.linspace(-4, 5, 7, dtype=torch.float64)

    with torch.no_grad():
        before_BC = network(images_BCHW)
        add_to_class_biases(network, description.input, offsets_C)
        after_BC = network(images_BCHW)

    torch.testing.assert_close(after_BC - before_BC, offsets_C.float().expand(3, -1))
    assert has_class_biases(architecture)


def test_looking_for_biases_changes_nothing_and_leaves_no_hook() -> None:
    description = describe(ResnetCifar(depth=8, width=4))
    network = build_network(description, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    bias_C = class_biases(network, description.input)

    assert bias_C is network.get_parameter("fc.bias")
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_network_without_class_biases_is_not_touched() -> None:
    description = describe(TorchvisionClassifier(architecture="torchvision/squeezenet1_1"))
    network = build_network(description)

    with pytest.raises(ValueError, match="not linear"):
        add_to_class_biases(network, description.input, torch.zeros(7))


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_catalog_knows_which_heads_have_biases(name: str) -> None:
    architecture = TorchvisionClassifier(architecture=f"torchvision/{name}")
    description = describe(architecture, side=224)
    network = build_network(description, device="meta")
    assert (class_biases(network, description.input) is not None) == has_class_biases(architecture)


def test_catalog_tells_the_same_of_all_networks_of_a_kind() -> None:
    told: dict[str, set[bool]] = {}
    for name in TORCHVISION_CLASSIFIERS:
        architecture = TorchvisionClassifier(architecture=f"torchvision/{name}")
        told.setdefault(kind_of(name), set()).add(has_class_biases(architecture))

    assert told.keys() == {kind_of(name) for name in ONE_OF_EACH_KIND}
    assert all(len(answers) == 1 for answers in told.values())


def kind_of(name: str) -> str:
    kind: str = import_torchvision_models().get_model_builder(name).__module__
    return kind
