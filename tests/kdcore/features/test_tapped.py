"""Layers are read by name as they were given, and nothing about the network changes."""

import pytest
import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation, Tapped
from kdcore.models import Classifier
from tests.kdcore.features.networks import (
    Overwriting,
    Plain,
    classifier_of,
    count_runs,
    images,
    make,
)

LAYERS = ("bn1", "stage.0", "stage", "conv2", "fc@input")


def given_by(classifier: Classifier, layers: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """What the layers give, copied as soon as they give it."""
    given: dict[str, torch.Tensor] = {}
    for name in layers:
        layer = classifier.network.get_submodule(name.removesuffix("@input"))
        if name.endswith("@input"):
            layer.register_forward_pre_hook(
                lambda _layer, inputs, name=name: given.update({name: inputs[0].clone()})
            )
        else:
            layer.register_forward_hook(
                lambda _layer, _inputs, output, name=name: given.update({name: output.clone()})
            )
    classifier(images())
    return given


def loss_of(observation: Observation) -> torch.Tensor:
    """Something that depends on every feature, and on the logits if there are any."""
    squares = [value.square().sum() for value in observation.features.values()]
    return torch.stack([*squares, observation.logits.sum()]).sum()


def test_what_is_overwritten_in_place_is_kept_as_it_was_given() -> None:
    given = given_by(make(), LAYERS)

    features = Tapped(make(), LAYERS)(images()).features

    assert set(features) == set(LAYERS)
    for name, value in features.items():
        assert torch.equal(value, given[name]), name
    # The two that an activation overwrites would otherwise have lost their negative values.
    assert features["bn1"].min() < 0
    assert features["conv2"].min() < 0


def test_output_of_an_activation_in_place_is_kept_after_it() -> None:
    features = Tapped(make(), ("stage", "stage.1"))(images()).features

    assert features["stage"].min() == 0
    assert torch.equal(features["stage"], features["stage.1"])


def test_gradients_are_those_of_a_network_that_overwrites_nothing() -> None:
    # `stage` itself is not run by the plain one.
    layers = ("bn1", "stage.0", "conv2", "fc@input")
    overwriting, plain = make(Overwriting), make(Plain)

    loss_of(Tapped(overwriting, layers)(images())).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    loss_of(Tapped(plain, layers)(images())).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    for (name, one), other in zip(overwriting.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6)


def test_loss_that_overwrites_a_feature_leaves_the_network_as_it_was() -> None:
    observation = Tapped(make(), ("conv1",))(images())
    with torch.no_grad():
        observation.features["conv1"].zero_()

    observation.logits.sum().backward()


def test_network_computes_the_same_bits_with_and_without_taps() -> None:
    tapped, plain = make(), make()

    logits_BK = Tapped(tapped, LAYERS)(images()).logits

    assert torch.equal(logits_BK, plain(images()))
    for name, value in tapped.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name


def test_nothing_stays_on_the_network_even_after_a_failure() -> None:
    classifier = make()
    Tapped(classifier, LAYERS)(images())
    Tapped(classifier, ("stage",), to_end=False)(images())
    with pytest.raises(RuntimeError):
        Tapped(classifier, LAYERS)(torch.rand(2, 7, 8, 8))

    for module in classifier.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize(
    ("layers", "ran"),
    [
        (("bn1",), {"conv1", "bn1"}),
        (("stage", "conv1"), {"conv1", "bn1", "relu", "stage", "stage.0", "stage.1"}),
        (
            ("fc@input",),
            # The one ReLU that runs twice runs as often as ever.
            {"conv1", "bn1", "relu", "stage", "stage.0", "stage.1", "conv2", "fc"},
        ),
    ],
)
def test_pass_stops_when_the_last_layer_has_been_seen(
    layers: tuple[str, ...], ran: set[str]
) -> None:
    classifier = make()
    runs = count_runs(classifier.network)

    observation: Observation = Tapped(classifier, layers, to_end=False)(images())

    assert observation.logits_BC is None
    assert set(observation.features) == set(layers)
    # `fc` is counted as begun, for its inputs were asked for; it computed nothing.
    assert set(runs) - {""} == ran
    with pytest.raises(ValueError, match="only as far as"):
        _ = observation.logits


def test_linear_layer_whose_input_is_asked_for_computes_nothing() -> None:
    classifier = make()
    computed: list[str] = []
    classifier.network.get_submodule("fc").register_forward_hook(
        lambda _layer, _inputs, _output: computed.append("fc")
    )

    Tapped(classifier, ("fc@input",), to_end=False)(images())

    assert computed == []


def test_network_without_layers_is_run_to_its_end() -> None:
    observation = Tapped(make(), (), to_end=False)(images())

    assert observation.logits.shape == (4, 5)
    assert observation.features == {}


def test_layer_that_is_not_there_is_refused_before_any_pass() -> None:
    with pytest.raises(IncompatibleInputs, match=r"no layer 'stage.7'.*'stage.0'") as refused:
        Tapped(make(), ("conv1", "stage.7"))
    assert (refused.value.code, refused.value.pointer) == ("unknown_layer", "/method/layers")

    with pytest.raises(IncompatibleInputs, match="largest parts are conv1, bn1, relu, stage"):
        Tapped(make(), ("zzz@input",))


class Pairing(nn.Module):
    """Gives two tensors."""

    def forward(self, maps_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return maps_BCHW, maps_BCHW


class Flattening(nn.Module):
    """Gives one tensor for the whole batch."""

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return pair[0].flatten()


class Odd(Overwriting):
    """Has layers that give other things than one tensor for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.pairing = Pairing()
        self.flattening = Flattening()

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        self.flattening(self.pairing(images_BCHW))
        return super().forward(images_BCHW)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ("relu", "more than once"),
        ("unused", "does not run"),
        ("pairing", "not one tensor"),
        ("flattening", "batch first"),
        ("flattening@input", "not one tensor"),
    ],
)
def test_layer_that_gives_no_one_tensor_per_image_is_refused(layer: str, why: str) -> None:
    classifier = classifier_of(Odd())
    with pytest.raises(IncompatibleInputs, match=why) as refused:
        Tapped(classifier, (layer,))(images())

    assert refused.value.code == "layer_cannot_be_tapped"
    assert repr(layer) in refused.value.message
