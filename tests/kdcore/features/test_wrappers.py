"""Layers keep their names under torch.compile, and inside a module that was compiled."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation, Tapped
from tests.kdcore.features.networks import classifier_of, images, make

LAYERS = ("bn1", "stage.0", "conv2", "fc@input")


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch.compiler.reset()


def expected(layers: tuple[str, ...] = LAYERS) -> Observation:
    observation: Observation = Tapped(make(), layers)(images())
    return observation


def assert_same(observation: Observation, other: Observation) -> None:
    assert observation.features.keys() == other.features.keys()
    for name, value in observation.features.items():
        torch.testing.assert_close(value, other.features[name])
    if observation.logits_BC is not None:
        torch.testing.assert_close(observation.logits_BC, other.logits_BC)


def loss_of(observation: Observation) -> torch.Tensor:
    return torch.stack([value.square().sum() for value in observation.features.values()]).sum()


def compiled(module: nn.Module, backend: str = "eager") -> Any:  # torch leaves it untyped
    return torch.compile(module, backend=backend)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("to_end", [True, False])
def test_compiled_tapped_gives_values_and_gradients_of_the_plain_one(
    backend: str, *, to_end: bool
) -> None:
    plain, classifier = make(), make()
    wanted: Observation = Tapped(plain, LAYERS, to_end=to_end)(images())
    tapped = compiled(Tapped(classifier, LAYERS, to_end=to_end), backend)

    for _ in range(2):
        classifier.zero_grad()
        observation: Observation = tapped(images())
        assert_same(observation, wanted)
        assert (observation.logits_BC is None) == (not to_end)
        loss_of(observation).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    loss_of(wanted).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for one, other in zip(classifier.parameters(), plain.parameters(), strict=True):
        if other.grad is None:
            assert one.grad is None
        else:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_network_that_was_compiled_before_is_tapped() -> None:
    """Its graph was made without taps, and would pass over them."""
    network = compiled(make().network)
    classifier = classifier_of(network)
    with torch.no_grad():
        classifier.eval()(images())
    classifier.train()

    assert_same(Tapped(classifier, LAYERS)(images()), expected())
    assert Tapped(classifier, ("bn1",), to_end=False)(images()).logits_BC is None


def test_compiled_classifier_is_tapped() -> None:
    classifier = compiled(make())

    assert_same(Tapped(classifier, LAYERS)(images()), expected())


def test_compiled_part_of_a_network_is_tapped_by_its_plain_names() -> None:
    classifier = make()
    classifier.network.stage = compiled(classifier.network.get_submodule("stage"))
    classifier.network.get_submodule("bn1").compile(backend="eager")
    with torch.no_grad():
        classifier.eval()(images())
    classifier.train()

    layers = ("bn1", "stage.0", "stage")
    assert_same(Tapped(classifier, layers)(images()), expected(layers))
    with pytest.raises(IncompatibleInputs, match=r"'stage\.0'"):
        Tapped(classifier, ("stage.7",))


def test_compiled_network_inside_a_compiled_tapped_is_tapped() -> None:
    classifier = classifier_of(compiled(make().network))

    assert_same(compiled(Tapped(classifier, LAYERS))(images()), expected())


def test_compiled_network_stays_compiled_where_nothing_is_tapped() -> None:
    graphs: list[object] = []

    def counting(graph: Any, _examples: object) -> Any:  # a torch.fx.GraphModule
        graphs.append(graph)
        return graph.forward

    network: Any = torch.compile(copy.deepcopy(make().network), backend=counting)
    Tapped(classifier_of(network))(images())

    assert len(graphs) == 1
