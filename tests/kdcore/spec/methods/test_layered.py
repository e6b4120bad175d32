"""What methods that compare layers as they are accept and refuse."""

from typing import Any

import pytest
from pydantic import ValidationError

from kdcore.spec import Crd, ReviewKd, Rkd, SimKd
from kdcore.spec.methods.layered import LayeredFields

METHODS: list[type[LayeredFields]] = [Crd, ReviewKd, Rkd, SimKd]

each = pytest.mark.parametrize("method", METHODS)


def _fields(**values: Any) -> dict[str, Any]:
    return values


@each
def test_fields_can_be_left_out(method: type[LayeredFields]) -> None:
    spec = method()

    assert spec.layers == ()
    assert spec.kd_weight == 0.0


@each
def test_layers_are_read_from_a_document(method: type[LayeredFields]) -> None:
    spec = method.model_validate(_fields(layers=[{"teacher": "layer3", "student": "fc@input"}]))

    assert [(pair.teacher, pair.student) for pair in spec.layers] == [("layer3", "fc@input")]


@each
def test_method_whose_weights_are_all_zero_is_refused(method: type[LayeredFields]) -> None:
    none = dict.fromkeys(("ce_weight", "kd_weight", *method.OWN_WEIGHTS), 0.0)

    with pytest.raises(ValidationError, match=method.OWN_WEIGHTS[-1]) as caught:
        method.model_validate(none)

    assert caught.value.errors()[0]["type"] == "no_loss_left"


@each
@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_weight_above_zero_is_enough(method: type[LayeredFields], index: int) -> None:
    names = ("ce_weight", "kd_weight", *method.OWN_WEIGHTS)

    method.model_validate(dict.fromkeys(names, 0.0) | {names[index]: 1.0})


def test_simkd_takes_one_pair_of_layers() -> None:
    pairs = [{"teacher": "layer3", "student": "layer3"}] * 2

    with pytest.raises(ValidationError, match="give one pair"):
        SimKd.model_validate(_fields(layers=pairs))
