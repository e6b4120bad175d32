"""Layers chosen for a method that names none."""

import pytest

from kdcore.catalog.layer_shapes import LayerShapes
from kdcore.errors import IncompatibleInputs
from kdcore.pairing import resolve_layers
from kdcore.spec import Architecture, LogitKd
from kdcore.spec.methods import Attention, FlowPair, LayerPair, MethodFields
from tests.kdcore.pairing.methods import (
    AnyEmbedding,
    AnyMaps,
    Embedding,
    EveryStage,
    Flows,
    LastMaps,
    MapsOfOneSize,
    MiddleStage,
    PairsMethod,
)
from tests.kdcore.pairing.networks import (
    MLP2,
    MLP3,
    RESNET8,
    RESNET20,
    SMALL_CNN,
    WIDE_RESNET20,
    WRN16,
    layers_of,
    torchvision_layers,
)


def chosen(
    method: PairsMethod, student: Architecture, teacher: Architecture
) -> list[tuple[str, str, str]]:
    resolved = resolve_layers(method, student=layers_of(student), teacher=layers_of(teacher))
    return [(pair.student, pair.teacher, pair.adapter) for pair in resolved.layers]


def test_every_stage_is_paired_by_size_without_adapters_where_channels_are_equal() -> None:
    assert chosen(EveryStage(), RESNET8, RESNET20) == [
        ("layer1", "layer1", "none"),
        ("layer2", "layer2", "none"),
        ("layer3", "layer3", "none"),
    ]


def test_stages_of_other_channels_get_a_convolution() -> None:
    assert chosen(EveryStage(), SMALL_CNN, WRN16) == [
        ("layers.1", "block1", "conv1x1"),
        ("layers.4", "block2", "conv1x1"),
        ("layers.5", "block3", "conv1x1"),
    ]


def test_middle_stage_always_gets_a_regressor() -> None:
    assert chosen(MiddleStage(), RESNET8, RESNET20) == [("layer2", "layer2", "conv1x1")]


def test_middle_of_an_even_number_is_the_earlier_one() -> None:
    resolved = resolve_layers(
        MiddleStage(),
        student=torchvision_layers("resnet18", side=32),
        teacher=layers_of(RESNET20),
    )

    # Both have maps of 16x16 and of 8x8.
    assert resolved.layers == (LayerPair(student="relu", teacher="layer2", adapter="conv1x1"),)


@pytest.mark.parametrize("method", [MapsOfOneSize(), AnyMaps()])
def test_method_that_copes_with_channels_gets_no_adapter(method: PairsMethod) -> None:
    assert {adapter for _, _, adapter in chosen(method, RESNET8, WIDE_RESNET20)} == {"none"}


@pytest.mark.parametrize(
    ("side", "stages"),
    [
        # 32, 16 and 8 pixels.
        (32, ["layer1", "layer2", "layer3"]),
        # 28, 14 and 7.
        (28, ["layer1", "layer2", "layer3"]),
        # 8, 4 and 2.
        (8, ["layer1"]),
        # 4 and 2: the largest, however small.
        (4, ["layer1"]),
    ],
)
def test_attention_is_not_taken_from_maps_of_few_places(side: int, stages: list[str]) -> None:
    layers = layers_of(RESNET8, side=side)
    method = resolve_layers(Attention(), student=layers, teacher=layers)

    assert [pair.student for pair in method.layers] == stages


def test_attention_takes_small_maps_by_name() -> None:
    layers = layers_of(RESNET8, side=8)
    method = Attention(layers=(LayerPair(student="layer3", teacher="layer3"),))

    assert resolve_layers(method, student=layers, teacher=layers) == method


def test_hidden_vectors_are_paired_from_the_end_backwards() -> None:
    assert chosen(EveryStage(), MLP2, MLP3) == [
        ("hidden.1.linear@input", "hidden.2.linear@input", "linear"),
        ("classifier@input", "classifier@input", "none"),
    ]


def test_vectors_are_paired_where_only_one_network_has_maps() -> None:
    assert chosen(EveryStage(), MLP2, RESNET8) == [("classifier@input", "fc@input", "linear")]


def test_middle_vector_gets_a_linear_regressor() -> None:
    assert chosen(MiddleStage(), MLP2, MLP2) == [
        ("hidden.1.linear@input", "hidden.1.linear@input", "linear")
    ]


def test_flows_of_stages_are_paired_by_size() -> None:
    resolved = resolve_layers(Flows(), student=layers_of(RESNET8), teacher=layers_of(RESNET20))

    assert resolved.layers == (
        FlowPair(student=("conv1", "layer1"), teacher=("conv1", "layer1")),
        FlowPair(student=("layer2.0.conv1", "layer2"), teacher=("layer2.0", "layer2")),
        FlowPair(student=("layer3.0.conv1", "layer3"), teacher=("layer3.0", "layer3")),
    )


def test_flows_of_other_channels_get_convolutions() -> None:
    resolved = resolve_layers(
        Flows(), student=layers_of(RESNET20), teacher=layers_of(WIDE_RESNET20)
    )

    assert [pair.adapter for pair in resolved.layers] == ["conv1x1"] * 3


def test_embeddings_are_what_the_last_linear_layers_take_in() -> None:
    assert chosen(Embedding(), RESNET20, WIDE_RESNET20) == [("fc@input", "fc@input", "linear")]
    assert chosen(AnyEmbedding(), RESNET20, SMALL_CNN) == [("fc@input", "classifier@input", "none")]


@pytest.mark.parametrize(
    ("method", "student", "teacher"),
    [
        (MapsOfOneSize(), layers_of(MLP2), layers_of(MLP3)),
        (Flows(), layers_of(MLP2), layers_of(RESNET20)),
        (EveryStage(), layers_of(RESNET20, side=24), layers_of(RESNET20, side=32)),
        (MiddleStage(), {"classifier@input": (192,), "classifier": (10,)}, layers_of(MLP2)),
        (Embedding(), {"classifier": (10, 1, 1)}, layers_of(MLP2)),
    ],
)
def test_networks_without_fitting_layers_are_refused_with_names_of_both(
    method: MethodFields,
    student: LayerShapes,
    teacher: LayerShapes,
) -> None:
    with pytest.raises(IncompatibleInputs) as refused:
        resolve_layers(method, student=student, teacher=teacher)

    assert (refused.value.code, refused.value.pointer) == ("no_layers_to_pair", "/method/layers")
    assert "The student has " in refused.value.message
    assert "the teacher has " in refused.value.message
    assert "classifier (10" in refused.value.message or "fc (10)" in refused.value.message


def test_method_without_layers_is_left_alone() -> None:
    method = LogitKd()

    assert resolve_layers(method, student={}, teacher={}) is method


@pytest.mark.parametrize(
    ("method", "student", "teacher"),
    [
        (EveryStage(), SMALL_CNN, WRN16),
        (EveryStage(), MLP2, RESNET8),
        (MiddleStage(), RESNET8, WRN16),
        (MapsOfOneSize(), RESNET8, WIDE_RESNET20),
        (AnyMaps(), RESNET8, WIDE_RESNET20),
        (Flows(), RESNET8, WIDE_RESNET20),
        (Embedding(), RESNET8, WIDE_RESNET20),
        (AnyEmbedding(), RESNET8, SMALL_CNN),
    ],
)
def test_resolving_what_is_resolved_changes_nothing(
    method: MethodFields, student: Architecture, teacher: Architecture
) -> None:
    once = resolve_layers(method, student=layers_of(student), teacher=layers_of(teacher))

    assert resolve_layers(once, student=layers_of(student), teacher=layers_of(teacher)) == once
    assert type(once).model_validate_json(once.model_dump_json()) == once


def test_last_maps_are_paired_whatever_their_sizes() -> None:
    assert chosen(LastMaps(), SMALL_CNN, RESNET20) == [("layers.5", "layer3", "none")]


def test_last_map_of_a_teacher_that_ends_in_a_norm_is_that_norm() -> None:
    assert chosen(LastMaps(), RESNET8, WRN16) == [("layer3", "bn1", "none")]


def test_teacher_whose_classifier_takes_no_average_is_paired_by_vectors() -> None:
    assert chosen(LastMaps(), RESNET8, MLP2) == [("fc@input", "classifier@input", "none")]
