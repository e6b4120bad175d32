"""Shapes through a declared cnn, and which layer is blamed when they do not fit."""

import pytest

from kdcore.catalog.cnn_shapes import features_after, plan_cnn
from kdcore.errors import IncompatibleInputs, SpecInvalid
from kdcore.spec import Cnn, CnnLayer, ImageInput
from kdcore.spec.architectures import ActivationLayer, Conv, Dropout, Linear, Norm, Pool

IMAGE = ImageInput(channels=3, height=9, width=12)


def _shapes(*layers: CnnLayer) -> list[tuple[int, ...]]:
    return [planned.output_shape for planned in plan_cnn(Cnn(layers=layers), IMAGE)]


def test_conv_and_pool_round_down_as_torch_does() -> None:
    shapes = _shapes(
        Conv(channels=5, kernel_size=4, stride=2, padding=1),
        Pool(size=3),
        Norm(),
        Dropout(),
        ActivationLayer(),
    )

    assert shapes == [(5, 4, 6), (5, 1, 2), (5, 1, 2), (5, 1, 2), (5, 1, 2)]


def test_linear_layer_takes_the_flattened_map() -> None:
    planned = plan_cnn(Cnn(layers=(Conv(channels=2), Linear(features=7))), IMAGE)

    assert planned[1].input_shape == (2 * 9 * 12,)
    assert planned[1].output_shape == (7,)


def test_global_average_leaves_one_pixel() -> None:
    assert _shapes(Pool(kind="global_average")) == [(3, 1, 1)]


def test_classifier_sees_all_that_the_last_layer_leaves() -> None:
    assert features_after(plan_cnn(Cnn(layers=(Conv(channels=2), Pool())), IMAGE)) == 2 * 4 * 6


@pytest.mark.parametrize("layer", [Conv(channels=2), Pool(), Pool(kind="global_average")])
def test_layer_that_needs_a_map_is_refused_after_a_linear_layer(layer: CnnLayer) -> None:
    with pytest.raises(SpecInvalid) as raised:
        _shapes(Conv(channels=2), Linear(features=7), ActivationLayer(), layer)

    (problem,) = raised.value.problems
    assert problem.pointer == "/layers/3"
    assert problem.code == "layer_after_linear"
    assert "7 flat features" in problem.message


@pytest.mark.parametrize(
    ("layer", "advice"),
    [
        (Pool(size=3), "Use a smaller size"),
        (Conv(channels=2, kernel_size=5), "Use a smaller kernel_size or more padding"),
    ],
)
def test_window_larger_than_its_map_is_refused_with_the_size_of_the_map(
    layer: CnnLayer, advice: str
) -> None:
    with pytest.raises(IncompatibleInputs) as raised:
        _shapes(Pool(size=4), layer)

    assert raised.value.pointer == "/layers/1"
    assert raised.value.code == "layer_does_not_fit"
    assert "larger than the 2x3 map" in raised.value.message
    assert advice in raised.value.message


def test_window_as_large_as_its_map_fits() -> None:
    assert _shapes(Pool(size=9)) == [(3, 1, 1)]
