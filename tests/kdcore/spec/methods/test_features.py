"""Defaults and refusals of the methods that compare layers."""

from typing import Any

import pytest

from kdcore.errors import SpecInvalid
from kdcore.spec import Attention, DistillJob, FeatureMatching, Fitnet, Fsp, parse_job


def parse(method: dict[str, Any], **training: Any) -> DistillJob:
    job = parse_job(
        {
            "kind": "distill",
            "dataset": "digits",
            "teachers": [{"model": "teacher"}],
            "student": {"architecture": "resnet_cifar", "depth": 8},
            "method": method,
            "training": training,
        }
    )
    assert isinstance(job, DistillJob)
    return job


def test_defaults_are_those_of_the_papers_and_of_live_libraries() -> None:
    assert Fsp() == Fsp(ce_weight=1.0, kd_weight=0.0)
    assert Fitnet() == Fitnet(ce_weight=0.1, kd_weight=0.9, temperature=4.0)
    assert Attention() == Attention(ce_weight=1.0, kd_weight=0.0, feature_weight=1000.0)
    # That of a hint, which has a stage for itself: live libraries take 100 behind a BatchNorm.
    assert FeatureMatching() == FeatureMatching(ce_weight=1.0, kd_weight=0.0, feature_weight=1.0)


@pytest.mark.parametrize(
    ("name", "stages"), [("fsp", ("fsp", "training")), ("fitnet", ("hint", "training"))]
)
def test_each_of_two_stages_can_be_overridden_by_its_name(
    name: str, stages: tuple[str, str]
) -> None:
    overrides = [{"stage": stage, "num_steps": 7} for stage in stages]

    assert stages == parse({"name": name}, stages=overrides).method.STAGES


@pytest.mark.parametrize("name", ["fsp", "fitnet"])
def test_stage_of_another_name_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(SpecInvalid, match=r"the stages are (fsp|hint), training"):
        parse({"name": name}, stages=[{"stage": "warm_up", "num_steps": 7}])


@pytest.mark.parametrize("name", ["fsp", "fitnet"])
def test_a_second_stage_without_a_loss_is_refused(name: str) -> None:
    with pytest.raises(SpecInvalid, match="nothing to learn"):
        parse({"name": name, "ce_weight": 0, "kd_weight": 0})


@pytest.mark.parametrize("name", ["attention", "feature_matching"])
def test_all_three_weights_of_zero_are_refused(name: str) -> None:
    with pytest.raises(SpecInvalid, match="nothing to learn"):
        parse({"name": name, "ce_weight": 0, "kd_weight": 0, "feature_weight": 0})


@pytest.mark.parametrize("name", ["attention", "feature_matching"])
def test_layers_alone_are_enough_to_learn(name: str) -> None:
    assert parse({"name": name, "ce_weight": 0}).method.ce_weight == 0.0


def test_flows_and_pairs_are_read_as_the_api_documents_them() -> None:
    flow = {"teacher": ["layer1", "layer2"], "student": ["layer1", "layer2"], "weight": 2.0}
    pair = {"teacher": "layer2", "student": "features.5", "adapter": "conv1x1"}

    flows = parse({"name": "fsp", "layers": [flow]}).method
    pairs = parse({"name": "feature_matching", "layers": [pair, pair]}).method

    assert isinstance(flows, Fsp)
    assert isinstance(pairs, FeatureMatching)
    assert (flows.layers[0].weight, flows.layers[0].adapter) == (2.0, "none")
    assert [each.adapter for each in pairs.layers] == ["conv1x1", "conv1x1"]
