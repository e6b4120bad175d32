"""People read which layers were compared, whoever chose them."""

from kdcore.pairing import pairs_in_words
from kdcore.spec import Fitnet, Fsp, LogitKd
from kdcore.spec.methods import FlowPair, LayerPair


def test_pairs_are_told_with_their_adapters() -> None:
    pairs = (
        LayerPair(teacher="layer2", student="layers.4", adapter="conv1x1"),
        LayerPair(teacher="layer3", student="layers.7"),
    )
    assert pairs_in_words(Fitnet(layers=pairs)) == (
        "student's layers.4 from teacher's layer2 by conv1x1; "
        "student's layers.7 from teacher's layer3"
    )


def test_flows_are_told_from_their_start_to_their_end() -> None:
    flow = FlowPair(teacher=("conv1", "layer1"), student=("layers.0", "layers.2"))
    assert pairs_in_words(Fsp(layers=(flow,))) == (
        "student's layers.0 to layers.2 from teacher's conv1 to layer1"
    )


def test_method_without_layers_has_none_to_tell() -> None:
    assert pairs_in_words(LogitKd()) == ""
