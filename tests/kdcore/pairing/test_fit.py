"""Layers that are named are checked before anything is trained."""

import pytest

from kdcore.errors import IncompatibleInputs
from kdcore.pairing import resolve_layers
from kdcore.spec.methods import FlowPair, LayerPair, MethodFields
from kdcore.spec.methods.layers import Adapter
from tests.kdcore.pairing.methods import (
    AnyEmbedding,
    AnyMaps,
    EveryStage,
    Flows,
    MapsOfOneSize,
    PairsMethod,
)
from tests.kdcore.pairing.networks import (
    MLP2,
    MLP3,
    RESNET8,
    RESNET20,
    WIDE_RESNET20,
    layers_of,
    torchvision_layers,
)

STUDENT = layers_of(RESNET8)
TEACHER = layers_of(WIDE_RESNET20)


def pair(student: str, teacher: str, adapter: Adapter = "none") -> LayerPair:
    return LayerPair(student=student, teacher=teacher, adapter=adapter)


def refusal(method: MethodFields) -> IncompatibleInputs:
    with pytest.raises(IncompatibleInputs) as refused:
        resolve_layers(method, student=STUDENT, teacher=TEACHER)
    return refused.value


def test_layers_that_fit_are_kept_as_they_were_given() -> None:
    method = EveryStage(layers=(pair("layer2", "layer2", "conv1x1"), pair("fc", "fc")))

    assert resolve_layers(method, student=STUDENT, teacher=TEACHER) is method


@pytest.mark.parametrize(
    ("named", "pointer", "near"),
    [
        (pair("layer2", "leyer2"), "/method/layers/0/teacher", "'layer2'"),
        (pair("layer.2", "layer2"), "/method/layers/0/student", "'layer2'"),
        (pair("fc@inputs", "layer2"), "/method/layers/0/student", "'fc@input'"),
    ],
)
def test_layer_that_does_not_exist_is_refused_with_near_names(
    named: LayerPair, pointer: str, near: str
) -> None:
    error = refusal(EveryStage(layers=(named,)))

    assert (error.code, error.pointer) == ("unknown_layer", pointer)
    assert near in error.message.partition("Did you mean")[2].partition("?")[0]


def test_name_like_no_other_is_refused_with_some_of_those_that_exist() -> None:
    message = refusal(EveryStage(layers=(pair("zzz", "layer2"),))).message

    assert "Did you mean" not in message
    assert "layer1 (16x32x32)" in message
    assert "in all." in message


def test_other_sizes_are_refused_with_both_shapes() -> None:
    error = refusal(EveryStage(layers=(pair("fc", "fc"), pair("layer1", "layer2", "conv1x1"))))

    assert (error.code, error.pointer) == ("layer_sizes_differ", "/method/layers/1")
    assert "16x32x32" in error.message
    assert "64x16x16" in error.message


def test_other_channels_without_an_adapter_are_refused_with_both_shapes() -> None:
    error = refusal(EveryStage(layers=(pair("layer3", "layer3"),)))

    assert (error.code, error.pointer) == ("layer_channels_differ", "/method/layers/0/adapter")
    assert "64x8x8" in error.message
    assert "128x8x8" in error.message
    assert '"conv1x1"' in error.message


@pytest.mark.parametrize(
    ("named", "shapes"),
    [
        (pair("fc@input", "fc@input", "conv1x1"), ("64", "128")),
        (pair("layer3", "layer3", "linear"), ("64x8x8", "128x8x8")),
    ],
)
def test_adapter_of_the_wrong_kind_is_refused_with_both_shapes(
    named: LayerPair, shapes: tuple[str, str]
) -> None:
    error = refusal(EveryStage(layers=(named,)))

    assert (error.code, error.pointer) == ("adapter_does_not_fit", "/method/layers/0/adapter")
    assert f"gives {shapes[0]} and" in error.message
    assert f"gives {shapes[1]}:" in error.message


def test_map_and_vector_are_refused_with_both_shapes() -> None:
    error = refusal(EveryStage(layers=(pair("layer3", "fc@input"),)))

    assert (error.code, error.pointer) == ("layer_shapes_differ", "/method/layers/0")
    assert "64x8x8" in error.message
    assert "128" in error.message


@pytest.mark.parametrize(
    "method",
    [
        MapsOfOneSize(layers=(pair("layer3", "layer3", "conv1x1"),)),
        AnyMaps(layers=(pair("layer3", "layer3", "conv1x1"),)),
        AnyEmbedding(layers=(pair("fc@input", "fc@input", "linear"),)),
    ],
)
def test_adapter_that_a_method_would_ignore_is_refused(method: PairsMethod) -> None:
    error = refusal(method)

    assert (error.code, error.pointer) == ("adapter_not_used", "/method/layers/0/adapter")


def test_method_on_maps_refuses_vectors() -> None:
    error = refusal(MapsOfOneSize(layers=(pair("layer3", "fc@input"),)))
    assert (error.code, error.pointer) == ("layer_is_no_map", "/method/layers/0/teacher")

    error = refusal(AnyMaps(layers=(pair("fc", "layer3"),)))
    assert (error.code, error.pointer) == ("layer_is_no_map", "/method/layers/0/student")


def test_method_on_maps_of_one_size_refuses_other_sizes() -> None:
    error = refusal(MapsOfOneSize(layers=(pair("layer3", "layer2"),)))

    assert (error.code, error.pointer) == ("layer_sizes_differ", "/method/layers/0")


def test_method_takes_whatever_it_copes_with() -> None:
    for method in (
        MapsOfOneSize(layers=(pair("layer3", "layer3"),)),
        AnyMaps(layers=(pair("layer3", "layer1"),)),
        AnyEmbedding(layers=(pair("layer3", "fc@input"),)),
    ):
        assert resolve_layers(method, student=STUDENT, teacher=TEACHER) is method


def test_tokens_of_other_width_need_a_linear_adapter() -> None:
    student = {"encoder": (197, 192)}
    teacher = {"encoder": (197, 768)}
    with pytest.raises(IncompatibleInputs, match=r"197x192.*197x768.*linear"):
        resolve_layers(
            EveryStage(layers=(pair("encoder", "encoder"),)), student=student, teacher=teacher
        )

    method = EveryStage(layers=(pair("encoder", "encoder", "linear"),))
    assert resolve_layers(method, student=student, teacher=teacher) is method


def test_flow_between_maps_of_any_size_fits() -> None:
    method = Flows(layers=(FlowPair(student=("layer2", "layer3"), teacher=("layer1", "layer2")),))

    assert resolve_layers(method, student=STUDENT, teacher=TEACHER) is method


def test_flow_of_other_channels_without_an_adapter_is_refused_with_both_shapes() -> None:
    error = refusal(
        Flows(layers=(FlowPair(student=("layer2", "layer3"), teacher=("layer1", "layer3")),))
    )

    assert (error.code, error.pointer) == ("layer_channels_differ", "/method/layers/0/adapter")
    assert "64x8x8" in error.message
    assert "128x8x8" in error.message


def test_flow_to_a_vector_or_from_nowhere_is_refused() -> None:
    error = refusal(
        Flows(layers=(FlowPair(student=("layer2", "fc"), teacher=("layer1", "layer3")),))
    )
    assert (error.code, error.pointer) == ("layer_is_no_map", "/method/layers/0/student/1")

    error = refusal(
        Flows(layers=(FlowPair(student=("layer2", "layer3"), teacher=("layer1", "layer9")),))
    )
    assert (error.code, error.pointer) == ("unknown_layer", "/method/layers/0/teacher/1")


def test_module_that_runs_twice_cannot_be_named() -> None:
    student = torchvision_layers("resnet18", side=32)
    with pytest.raises(IncompatibleInputs, match=r"'layer1\.0\.relu' that can be tapped"):
        resolve_layers(
            MapsOfOneSize(layers=(pair("layer1.0.relu", "layer3"),)),
            student=student,
            teacher=layers_of(RESNET20),
        )


def test_wide_and_narrow_vectors_fit_with_a_linear_adapter() -> None:
    method = EveryStage(layers=(pair("hidden.0", "hidden.1", "linear"),))

    assert resolve_layers(method, student=layers_of(MLP2), teacher=layers_of(MLP3)) is method
