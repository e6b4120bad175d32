"""Where the stages of a network begin and end."""

import pytest

from kdcore.pairing.network_stages import embedding, hidden_vectors, stage_ends, stage_flows
from tests.kdcore.pairing.networks import (
    MLP2,
    RESNET8,
    RESNET20,
    SMALL_CNN,
    WRN16,
    layers_of,
    torchvision_layers,
)


def test_stages_of_a_resnet_end_with_the_whole_stage() -> None:
    assert stage_ends(layers_of(RESNET20)) == {
        (32, 32): "layer1",
        (16, 16): "layer2",
        (8, 8): "layer3",
    }


def test_batch_norm_that_begins_the_next_stage_of_a_wrn_ends_none() -> None:
    assert list(stage_ends(layers_of(WRN16)).values()) == ["block1", "block2", "block3"]


def test_stages_of_a_declared_cnn_end_before_the_pooling() -> None:
    ends = stage_ends(layers_of(SMALL_CNN))

    assert ends == {(32, 32): "layers.1", (16, 16): "layers.4", (8, 8): "layers.5"}


@pytest.mark.parametrize(
    ("name", "side", "ends"),
    [
        ("resnet18", 32, ["relu", "layer1", "layer2", "layer3"]),
        ("resnet50", 224, ["relu", "layer1", "layer2", "layer3", "layer4"]),
        (
            "mobilenet_v2",
            224,
            ["features.1", "features.3", "features.6", "features.13", "features"],
        ),
        # Its pooling gives 7x7 out of 1x1.
        (
            "vgg11",
            32,
            ["features.1", "features.4", "features.9", "features.14", "features.19"],
        ),
        # Inside its blocks the channels come last.
        ("convnext_tiny", 32, ["features.1", "features.3", "features.5"]),
    ],
)
def test_stages_of_torchvision_networks_are_found(name: str, side: int, ends: list[str]) -> None:
    assert list(stage_ends(torchvision_layers(name, side=side)).values()) == ends


def test_flow_goes_from_the_first_block_of_a_stage_to_its_end() -> None:
    assert list(stage_flows(layers_of(RESNET20)).values()) == [
        ("conv1", "layer1"),
        ("layer2.0", "layer2"),
        ("layer3.0", "layer3"),
    ]


def test_flow_through_a_stage_of_one_block_begins_inside_the_block() -> None:
    assert list(stage_flows(layers_of(RESNET8)).values()) == [
        ("conv1", "layer1"),
        ("layer2.0.conv1", "layer2"),
        ("layer3.0.conv1", "layer3"),
    ]


def test_stage_of_a_single_layer_has_no_flow() -> None:
    assert (8, 8) not in stage_flows(layers_of(SMALL_CNN))


def test_map_of_other_proportions_than_the_first_is_no_stage() -> None:
    layers = {"a": (4, 30, 20), "b": (4, 15, 10), "b.swapped": (15, 10, 64), "c": (4, 8, 5)}

    assert stage_ends(layers) == {(30, 20): "a", (15, 10): "b", (8, 5): "c"}


def test_hidden_vectors_of_an_mlp_are_all_but_the_pixels() -> None:
    assert hidden_vectors(layers_of(MLP2)) == ("hidden.1.linear@input", "classifier@input")


def test_hidden_vectors_of_a_cnn_begin_with_the_flattened_map() -> None:
    assert hidden_vectors(layers_of(SMALL_CNN)) == ("layers.6@input", "classifier@input")


def test_embedding_is_what_the_last_linear_layer_takes_in() -> None:
    assert embedding(layers_of(RESNET20)) == "fc@input"
    assert embedding(torchvision_layers("vgg11", side=32)) == "classifier.6@input"
    assert embedding(torchvision_layers("squeezenet1_1", side=32)) is None
