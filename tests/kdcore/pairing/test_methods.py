"""Every method of the catalogue that compares layers finds some by itself."""

import pytest

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.pairing import has_pairs, resolve_layers
from kdcore.spec import Architecture
from tests.kdcore.pairing.networks import (
    MLP2,
    MLP3,
    RESNET8,
    SMALL_CNN,
    WIDE_RESNET20,
    WRN16,
    layers_of,
)

PAIRING = [entry for entry in methods() if has_pairs(entry.spec())]


def test_methods_with_layers_and_only_they_are_paired() -> None:
    assert {"attention", "feature_matching", "fitnet", "fsp", "rkd"} <= {
        entry.name for entry in PAIRING
    }
    for entry in methods():
        assert ("layers" in entry.spec.model_fields) == has_pairs(entry.spec()), entry.name


@pytest.mark.parametrize("entry", PAIRING, ids=lambda entry: entry.name)
@pytest.mark.parametrize(
    ("student", "teacher"),
    [(RESNET8, WIDE_RESNET20), (SMALL_CNN, WRN16)],
    ids=["resnets", "cnn-wrn"],
)
def test_layers_of_convolutional_networks_are_found(
    entry: MethodEntry, student: Architecture, teacher: Architecture
) -> None:
    method = entry.spec()

    resolved = resolve_layers(method, student=layers_of(student), teacher=layers_of(teacher))

    assert resolved.model_dump()["layers"]
    # What a manifest or a dry run shows can be asked for again.
    assert entry.spec.model_validate_json(resolved.model_dump_json()) == resolved


@pytest.mark.parametrize(
    "entry",
    [entry for entry in PAIRING if entry.spec.SHAPES in ("equal", "any")],
    ids=lambda entry: entry.name,
)
def test_layers_of_networks_without_maps_are_found(entry: MethodEntry) -> None:
    resolved = resolve_layers(entry.spec(), student=layers_of(MLP2), teacher=layers_of(MLP3))

    assert resolved.model_dump()["layers"]
    assert entry.spec.model_validate_json(resolved.model_dump_json()) == resolved
