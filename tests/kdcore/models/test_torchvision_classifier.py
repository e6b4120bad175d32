"""torchvision's classifiers: all build, cost what torchvision says, and refuse unfit images."""

# B batch, C channels, H height, W width

from types import ModuleType

import pytest
import torch

from kdcore.catalog.torchvision_names import TORCHVISION_CLASSIFIERS
from kdcore.errors import IncompatibleInputs
from kdcore.models import build_network, count_flops, count_parameters
from kdcore.models.torchvision_import import import_torchvision_models
from kdcore.spec import ImageInput, NetworkDescription, TorchvisionClassifier

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
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_16",
    "wide_resnet50_2",
)


@pytest.fixture(scope="module")
def torchvision_models() -> ModuleType:
    return import_torchvision_models()


def _describe(
    name: str, *, shape_CHW: tuple[int, int, int], num_classes: int = 10
) -> NetworkDescription:
    channels, height, width = shape_CHW
    return NetworkDescription(
        architecture=TorchvisionClassifier(architecture=f"torchvision/{name}"),
        input=ImageInput(channels=channels, height=height, width=width),
        num_classes=num_classes,
    )


def _assert_costs_what_torchvision_says(torchvision_models: ModuleType, name: str) -> None:
    published = torchvision_models.get_model_weights(name).DEFAULT
    meta, side = published.meta, published.transforms().crop_size[0]
    description = _describe(name, shape_CHW=(3, side, side), num_classes=1000)

    network = build_network(description, device="meta")

    # torchvision gives multiply-adds in units of 10⁹, to three digits after the point.
    multiply_adds = count_flops(network, description.input) / 2e9
    assert multiply_adds == pytest.approx(meta["_ops"], abs=0.0006)
    if name != "inception_v3":  # published with its auxiliary classifier
        assert count_parameters(network) == meta["num_params"]


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_one_of_each_kind_costs_what_torchvision_says(
    torchvision_models: ModuleType, name: str
) -> None:
    _assert_costs_what_torchvision_says(torchvision_models, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TORCHVISION_CLASSIFIERS - set(ONE_OF_EACH_KIND)))
def test_every_other_classifier_costs_what_torchvision_says(
    torchvision_models: ModuleType, name: str
) -> None:
    _assert_costs_what_torchvision_says(torchvision_models, name)


def test_listed_names_are_exactly_the_classifiers_of_torchvision(
    torchvision_models: ModuleType,
) -> None:
    names = torchvision_models.list_models(module=torchvision_models)

    assert set(names) == TORCHVISION_CLASSIFIERS


@pytest.mark.parametrize(
    ("name", "side"),
    [("googlenet", 32), ("squeezenet1_0", 32), ("inception_v3", 80), ("regnet_x_400mf", 32)],
)
def test_in_training_mode_the_only_output_is_logits(name: str, side: int) -> None:
    network = build_network(_describe(name, shape_CHW=(3, side, side)), seed=0)

    assert network.training
    assert network(torch.rand(2, 3, side, side)).shape == (2, 10)


def test_vit_is_built_for_the_size_of_the_images() -> None:
    network = build_network(_describe("vit_b_32", shape_CHW=(3, 64, 64)), device="meta")

    position = network.get_parameter("encoder.pos_embedding")
    assert position.shape == (1, 1 + (64 // 32) ** 2, 768)


@pytest.mark.parametrize(
    ("name", "size", "reason", "advice"),
    [
        ("alexnet", (28, 28), "Output size is too small", "64x64 pixels would fit"),
        ("inception_v3", (32, 32), "Kernel size can't be greater", "80x80 pixels would fit"),
        ("vit_b_16", (28, 28), "indivisible by patch size", "32x32 pixels would fit"),
        ("vit_b_16", (32, 48), "they must be square", "32x32 pixels would fit"),
        ("maxvit_t", (32, 32), "not divisible by partition size", "224x224 pixels would fit"),
    ],
)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_images_of_unfit_size_are_refused_with_a_size_that_fits(
    name: str, size: tuple[int, int], reason: str, advice: str, device: str
) -> None:
    height, width = size
    with pytest.raises(IncompatibleInputs) as raised:
        build_network(_describe(name, shape_CHW=(3, height, width)), device=device)

    assert raised.value.code == "image_size_does_not_fit"
    assert raised.value.pointer == "/architecture"
    assert f"does not take images of {height}x{width} pixels" in raised.value.message
    assert reason in raised.value.message
    assert advice in raised.value.message


@pytest.mark.parametrize("channels", [1, 4])
def test_images_without_three_channels_are_refused(channels: int) -> None:
    with pytest.raises(IncompatibleInputs, match=f"3 channels and these have {channels}") as raised:
        build_network(_describe("resnet18", shape_CHW=(channels, 32, 32)), device="meta")

    assert raised.value.code == "channels_do_not_fit"
