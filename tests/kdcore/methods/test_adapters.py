"""What brings the student's layers to the teacher's channels."""

# B batch

import pytest
import torch

from kdcore.features import Observation
from kdcore.methods import MethodInputs
from kdcore.methods.adapters import AdaptedLayers
from kdcore.spec import ImageInput, Mlp, NetworkDescription
from kdcore.spec.methods import LayerPair
from kdcore.spec.methods.layers import Adapter

STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)), input=ImageInput(channels=1, height=2, width=2), num_classes=4
)
SHAPES = {"map": (2, 4, 3), "vector": (5,), "tokens": (6, 7)}
TEACHERS = {"map": (3, 9, 9), "wide": (3, 9, 9), "vector": (8,), "tokens": (6, 9)}


def _adapted(*pairs: LayerPair, seed: int = 0) -> AdaptedLayers:
    inputs = MethodInputs(STUDENT, student_layers=SHAPES, teacher_layers=TEACHERS, seed=seed)
    return AdaptedLayers(pairs, inputs)


def _pair(name: str, adapter: Adapter) -> LayerPair:
    return LayerPair(student=name, teacher=name, adapter=adapter)


def _student() -> Observation:
    generator = torch.Generator().manual_seed(0)
    return Observation(
        None,
        {name: torch.randn(2, *shape, generator=generator) for name, shape in SHAPES.items()},
    )


@pytest.mark.parametrize(
    ("name", "adapter", "expected"),
    [
        ("map", "conv1x1", (2, 3, 4, 3)),
        ("vector", "linear", (2, 8)),
        ("tokens", "linear", (2, 6, 9)),
    ],
)
def test_channels_become_the_teachers_and_nothing_else_changes(
    name: str, adapter: Adapter, expected: tuple[int, ...]
) -> None:
    pair = _pair(name, adapter)

    assert _adapted(pair)(_student())[pair].shape == expected


def test_without_adapter_the_layer_is_handed_on_as_it_is() -> None:
    pair, student = _pair("map", "none"), _student()
    adapted = _adapted(pair)

    assert adapted(student)[pair] is student.features["map"]
    assert not list(adapted.parameters())


def test_pair_that_is_named_twice_has_one_adapter() -> None:
    pair, other = _pair("map", "conv1x1"), _pair("vector", "linear")

    assert len(_adapted(pair, other, pair).adapters) == 2


def test_weights_depend_on_the_seed_alone_and_leave_the_generator_as_it_was() -> None:
    pairs = (_pair("map", "conv1x1"), _pair("vector", "linear"))

    def weights(seed: int) -> torch.Tensor:
        adapted = _adapted(*pairs, seed=seed)
        return torch.cat([weight.flatten() for weight in adapted.parameters()])

    state = torch.get_rng_state()
    one = weights(1)

    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    assert torch.equal(one, weights(1))
    assert not torch.equal(one, weights(2))


def test_adapters_of_one_method_begin_differently() -> None:
    pairs = [LayerPair(student="map", teacher=name, adapter="conv1x1") for name in ("map", "wide")]

    first, second = _adapted(*pairs).adapters

    assert not torch.equal(next(first.parameters()), next(second.parameters()))
