"""A job without a method has a stage, and what is no method has none."""

import pytest
from pydantic import BaseModel

from kdcore.methods import MethodInputs, build_stages
from kdcore.spec import ImageInput, Mlp, NetworkDescription

STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)),
    input=ImageInput(channels=1, height=2, width=2),
    num_classes=4,
)


class NoMethod(BaseModel):
    """What no list of methods holds."""


def test_without_a_method_there_is_one_stage_on_labels_alone() -> None:
    (stage,) = build_stages(None, MethodInputs(STUDENT))

    assert stage.name == "training"
    assert stage.objective.needs_labels
    assert not stage.objective.needs_teacher


def test_what_is_no_method_is_named_instead_of_trained_without_one() -> None:
    with pytest.raises(AssertionError, match="NoMethod"):
        build_stages(NoMethod(), MethodInputs(STUDENT))  # type: ignore[arg-type]  # on purpose
