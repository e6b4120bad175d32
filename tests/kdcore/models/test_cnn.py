"""What a declared cnn computes, and which declarations are refused where."""

# B batch, C channels, H height, W width

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.models import build_network
from kdcore.spec import Cnn, CnnLayer, ImageInput, NetworkDescription
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Linear, Norm, Pool


def _build(*layers: CnnLayer, channels: int = 3, side: int = 8) -> nn.Module:
    image = ImageInput(channels=channels, height=side, width=side)
    description = NetworkDescription(architecture=Cnn(layers=layers), input=image, num_classes=4)
    return build_network(description, seed=0)


def test_logits_are_the_declared_layers_in_order_and_a_linear_layer() -> None:
    network = _build(
        Conv(channels=5, kernel_size=3, stride=2, padding=1, bias=False),
        Norm(),
        ActivationLayer(name="silu"),
        Pool(kind="average", size=2),
        Linear(features=6),
        ActivationLayer(name="relu"),
    ).eval()
    images_BCHW = torch.rand(2, 3, 8, 8)
    state = network.state_dict()

    values = F.conv2d(images_BCHW, state["layers.0.weight"], stride=2, padding=1)
    values = F.batch_norm(
        values,
        state["layers.1.running_mean"],
        state["layers.1.running_var"],
        state["layers.1.weight"],
        state["layers.1.bias"],
    )
    values = F.avg_pool2d(F.silu(values), 2).flatten(1)
    values = F.relu(F.linear(values, state["layers.4.weight"], state["layers.4.bias"]))
    expected = F.linear(values, state["classifier.weight"], state["classifier.bias"])
    torch.testing.assert_close(network(images_BCHW), expected)


def test_weights_are_named_by_the_index_of_the_declared_layer() -> None:
    network = _build(Conv(channels=5), ActivationLayer(), Pool(), Linear(features=6, bias=False))

    assert list(network.state_dict()) == [
        "layers.0.weight",
        "layers.0.bias",
        "layers.3.weight",
        "classifier.weight",
        "classifier.bias",
    ]


def test_norm_fits_maps_and_features_alike() -> None:
    network = _build(Conv(channels=5), Norm(), Linear(features=6), Norm())

    assert isinstance(network.get_submodule("layers.1"), nn.BatchNorm2d)
    assert isinstance(network.get_submodule("layers.3"), nn.BatchNorm1d)
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 4)


def test_global_average_leaves_one_value_a_channel() -> None:
    network = _build(Conv(channels=5), Pool(kind="global_average"))

    assert network.state_dict()["classifier.weight"].shape == (4, 5)
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 4)


def test_max_pool_takes_the_largest_of_each_window() -> None:
    pool = _build(Pool(kind="max", size=2)).get_submodule("layers.0")

    assert pool(torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])).tolist() == [[[[4.0]]]]


def test_dropout_has_the_declared_probability() -> None:
    dropout = _build(Dropout(probability=0.3)).get_submodule("layers.0")

    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.3


def test_memory_layout_of_the_images_does_not_change_the_logits() -> None:
    network = _build(Conv(channels=5), Pool(), Linear(features=6))
    images_BCHW = torch.rand(2, 3, 8, 8)

    channels_last = network.to(memory_format=torch.channels_last)(  # type: ignore[call-overload]  # torch's stub lacks it
        images_BCHW.to(memory_format=torch.channels_last)
    )

    torch.testing.assert_close(channels_last, network(images_BCHW))
