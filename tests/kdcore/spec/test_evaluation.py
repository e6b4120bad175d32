"""An evaluation names models and what is averaged, and nothing of training."""

from typing import Any

import pytest

from kdcore.errors import Problem, SpecInvalid
from kdcore.spec import EvaluateJob, networks_of, parse_job

JOB: dict[str, Any] = {
    "kind": "evaluate",
    "dataset": "digits",
    "models": [{"model": "mdl_1"}, {"model": "mdl_2", "weight": 2}],
}


def only_problem(**changes: Any) -> Problem:
    with pytest.raises(SpecInvalid) as raised:
        parse_job(JOB | changes)
    (problem,) = raised.value.problems
    return problem


def test_models_have_weights_and_survive_a_round_trip() -> None:
    job = parse_job(JOB)
    assert isinstance(job, EvaluateJob)
    assert [member.weight for member in job.models] == [1.0, 2.0]
    assert job.average == "probabilities"
    assert networks_of(job) == ("mdl_1", "mdl_2")
    assert parse_job(job.model_dump_json()) == job


def test_jobs_of_other_kinds_need_their_teachers_or_nothing() -> None:
    mlp = {"architecture": "mlp", "hidden": [8]}
    distill = {"kind": "distill", "dataset": "d", "teachers": [{"model": "a"}], "student": mlp}
    assert networks_of(parse_job(distill)) == ("a",)
    assert networks_of(parse_job({"kind": "train", "dataset": "d", "network": mlp})) == ()


@pytest.mark.parametrize("field", ["training", "transfer", "exports", "calibration"])
def test_fields_of_training_are_refused_by_name(field: str) -> None:
    problem = only_problem(**{field: {}})
    assert (problem.pointer, problem.code) == (f"/{field}", "unknown_field")
    assert "means nothing for evaluate" in problem.message


def test_epochs_mean_nothing_for_what_does_not_train() -> None:
    assert only_problem(evaluation={"every_epochs": 2}).pointer == "/evaluation/every_epochs"


@pytest.mark.parametrize("weight", [0, -1, 1e9])
def test_weight_that_is_no_share_is_refused(weight: float) -> None:
    assert only_problem(models=[{"model": "a", "weight": weight}]).pointer == "/models/0/weight"
