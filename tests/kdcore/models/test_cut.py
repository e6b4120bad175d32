"""A network cut after a layer gives what the layer gives, in whichever mode it is."""

# B batch, C channels, H height, W width

import pytest
import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.features import Tapped
from kdcore.models import Classifier, build_network
from kdcore.models.cut import cut_after
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
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Pool

IMAGE = ImageInput(channels=3, height=32, width=32)
CUTS: list[tuple[Architecture, str]] = [
    (ResnetCifar(depth=8), "layer3"),
    (ResnetCifar(depth=8), "layer2.0.bn1"),
    (ResnetCifar(depth=8), "fc@input"),
    (Wrn(depth=10), "bn1"),
    (Mlp(hidden=(8, 5)), "classifier@input"),
    (Cnn(layers=(Conv(channels=4), ActivationLayer(), Pool(), Dropout())), "layers.2"),
    (TorchvisionClassifier(architecture="torchvision/mobilenet_v2"), "features"),
    (TorchvisionClassifier(architecture="torchvision/shufflenet_v2_x0_5"), "conv5"),
]


def _build(architecture: Architecture) -> nn.Module:
    return build_network(
        NetworkDescription(architecture=architecture, input=IMAGE, num_classes=7), seed=0
    )


@pytest.mark.parametrize(("architecture", "layer"), CUTS, ids=str)
def test_cut_network_gives_what_the_layer_gives(architecture: Architecture, layer: str) -> None:
    network = _build(architecture).eval()
    images_BCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tapped = Tapped(Classifier(network, IMAGE).eval(), [layer])(images_BCHW).features[layer]

    assert torch.equal(cut_after(network, layer)(images_BCHW), tapped)


def test_what_comes_after_is_left_out_and_names_stay() -> None:
    network = _build(ResnetCifar(depth=8))

    names = set(cut_after(network, "layer3").state_dict())

    assert names == {name for name in network.state_dict() if not name.startswith("fc.")}


def test_classifier_is_left_out_when_cut_before_it() -> None:
    names = set(cut_after(_build(Mlp(hidden=(8,))), "classifier@input").state_dict())

    assert names == {"hidden.0.linear.weight", "hidden.0.linear.bias"}


def test_dropout_and_statistics_follow_the_mode() -> None:
    cut = cut_after(_build(Wrn(depth=10, dropout=0.5)), "bn1")
    images_BCHW = torch.rand(4, 3, 32, 32)

    before = cut.state_dict()["bn1.running_mean"].clone()
    assert not torch.equal(cut(images_BCHW), cut(images_BCHW))
    assert not torch.equal(before, cut.state_dict()["bn1.running_mean"])
    cut.eval()
    assert torch.equal(cut(images_BCHW), cut(images_BCHW))


@pytest.mark.parametrize("layer", ["layer9", "fc9@input", ""])
def test_layer_that_is_none_is_refused(layer: str) -> None:
    with pytest.raises(IncompatibleInputs, match="no layer"):
        cut_after(_build(ResnetCifar(depth=8)), layer)


def test_layer_that_runs_more_than_once_is_refused() -> None:
    resnet = _build(TorchvisionClassifier(architecture="torchvision/resnet18"))

    with pytest.raises(IncompatibleInputs, match="just once"):
        cut_after(resnet, "layer1.0.relu")
