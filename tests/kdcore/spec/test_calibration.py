"""The rules of a calibration: what is accepted, and where mistakes are placed."""

from typing import Any

import pytest

from kdcore.errors import Problem, SpecInvalid
from kdcore.spec import (
    BestOnValidation,
    ClassOffset,
    DistillJob,
    FixedOffsets,
    MatchPrior,
    NoCalibration,
    parse_job,
)

JOB: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "mdl_1"}],
    "student": {"architecture": "mlp", "hidden": [8]},
}


def parse(calibration: dict[str, Any], **changes: Any) -> DistillJob:
    job = parse_job(JOB | {"calibration": calibration} | changes)
    assert isinstance(job, DistillJob)
    assert parse_job(job.model_dump_json()) == job
    return job


def only_problem(calibration: dict[str, Any], **changes: Any) -> Problem:
    with pytest.raises(SpecInvalid) as raised:
        parse_job(JOB | {"calibration": calibration} | changes)
    (problem,) = raised.value.problems
    return problem


def test_biases_are_left_alone_if_nothing_is_said() -> None:
    job = parse_job(JOB)
    assert isinstance(job, DistillJob)
    assert job.calibration == NoCalibration()


def test_fixed_offsets_are_given_by_label() -> None:
    offsets = [{"label": 3, "offset": 3.5}, {"label": 0, "offset": -1}]
    assert parse({"rule": "fixed", "offsets": offsets}).calibration == FixedOffsets(
        offsets=(ClassOffset(label=3, offset=3.5), ClassOffset(label=0, offset=-1.0))
    )


def test_label_with_two_offsets_is_refused() -> None:
    offsets = [{"label": 3, "offset": 3.5}, {"label": 3, "offset": 1.0}]
    problem = only_problem({"rule": "fixed", "offsets": offsets})
    assert (problem.pointer, problem.code) == ("/calibration/offsets", "label_twice")


def test_no_offset_at_all_is_refused() -> None:
    assert only_problem({"rule": "fixed", "offsets": []}).pointer == "/calibration/offsets"


@pytest.mark.parametrize(
    ("prior", "shares"),
    [
        ("train", (0.1, 0.6, 0.3)),
        ("uniform", (1 / 3, 1 / 3, 1 / 3)),
        ([0.5, 0.25, 0.25], (0.5, 0.25, 0.25)),
    ],
)
def test_prior_is_named_or_given(prior: Any, shares: tuple[float, ...]) -> None:
    rule = parse({"rule": "match_prior", "prior": prior}).calibration
    assert isinstance(rule, MatchPrior)
    assert rule.shares((10, 60, 30)) == shares


@pytest.mark.parametrize("prior", [[0.5, 0.4], [0.5, 0.5, 0.5], [1.0, 0.0], [1.5, -0.5], []])
def test_prior_that_is_no_distribution_is_refused(prior: list[float]) -> None:
    problem = only_problem({"rule": "match_prior", "prior": prior})
    assert (problem.pointer, problem.code) == ("/calibration/prior", "prior_is_no_distribution")


def test_prior_of_another_name_is_refused_once() -> None:
    problem = only_problem({"rule": "match_prior", "prior": "test"})
    assert (problem.pointer, problem.code) == ("/calibration/prior", "unknown_choice")


def test_prior_moves_every_class_unless_some_are_named() -> None:
    assert MatchPrior().moved(3) == (0, 1, 2)
    assert MatchPrior(classes=(2, 0, 2)).moved(3) == (0, 2)


def test_validation_moves_the_classes_left_out_unless_others_are_named() -> None:
    transfer = {"exclude_classes": [7, 3], "validation_fraction": 0.1}
    rule = parse({"rule": "best_on_validation"}, transfer=transfer).calibration
    assert isinstance(rule, BestOnValidation)
    assert rule.moved((7, 3)) == (3, 7)
    assert BestOnValidation(classes=(5,)).moved((7, 3)) == (5,)


def test_best_on_validation_needs_a_hold_out() -> None:
    problem = only_problem({"rule": "best_on_validation"}, transfer={"exclude_classes": [3]})
    assert problem.code == "calibration_needs_validation"
    assert problem.pointer == "/transfer/validation_fraction"


def test_best_on_validation_needs_a_class_to_move() -> None:
    problem = only_problem({"rule": "best_on_validation"}, transfer={"validation_fraction": 0.1})
    assert (problem.pointer, problem.code) == ("/calibration/classes", "nothing_to_calibrate")


def test_field_of_another_rule_is_refused() -> None:
    problem = only_problem({"rule": "match_prior", "offsets": []})
    assert (problem.pointer, problem.code) == ("/calibration/offsets", "unknown_field")
    assert "match_prior" in problem.message
