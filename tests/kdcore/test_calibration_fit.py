"""A calibration that cannot work on student and dataset is refused before anything is trained."""

from typing import Any

import pytest

from kdcore.calibration_fit import check_calibration_fits
from kdcore.errors import IncompatibleInputs
from kdcore.spec import DistillJob, parse_job

COUNTS = (5, 5, 10)


def job(calibration: dict[str, Any], **changes: Any) -> DistillJob:
    parsed = parse_job(
        {
            "kind": "distill",
            "dataset": "dts_1",
            "teachers": [{"model": "mdl_1"}],
            "student": {"architecture": "mlp", "hidden": [8]},
            "calibration": calibration,
        }
        | changes
    )
    assert isinstance(parsed, DistillJob)
    return parsed


def refusal(calibration: dict[str, Any], **changes: Any) -> tuple[str, str]:
    counts = changes.pop("counts", COUNTS)
    with pytest.raises(IncompatibleInputs) as raised:
        check_calibration_fits(job(calibration, **changes), counts)
    return raised.value.code, raised.value.pointer


@pytest.mark.parametrize(
    "calibration",
    [
        {"rule": "none"},
        {"rule": "fixed", "offsets": [{"label": 2, "offset": 1.0}]},
        {"rule": "match_prior"},
        {"rule": "match_prior", "prior": [0.2, 0.3, 0.5], "classes": [0]},
    ],
)
def test_rule_that_fits_passes(calibration: dict[str, Any]) -> None:
    check_calibration_fits(job(calibration), COUNTS)


def test_offset_of_a_class_that_is_not_there_is_refused() -> None:
    calibration = {"rule": "fixed", "offsets": [{"label": 3, "offset": 1.0}]}
    assert refusal(calibration) == ("unknown_class", "/calibration/offsets")


@pytest.mark.parametrize("rule", ["match_prior", "best_on_validation"])
def test_class_that_is_not_there_is_refused(rule: str) -> None:
    transfer = {"validation_fraction": 0.1}
    calibration = {"rule": rule, "classes": [3]}
    assert refusal(calibration, transfer=transfer) == ("unknown_class", "/calibration/classes")


def test_prior_of_another_length_is_refused() -> None:
    calibration = {"rule": "match_prior", "prior": [0.5, 0.5]}
    assert refusal(calibration) == ("prior_length", "/calibration/prior")


@pytest.mark.parametrize(
    ("classes", "counts"), [((), (5, 0, 5)), ((1,), (5, 0, 5)), ((0, 2), (5, 0, 5))]
)
def test_class_without_a_share_has_no_offset_that_gives_it_that(
    classes: tuple[int, ...], counts: tuple[int, ...]
) -> None:
    calibration = {"rule": "match_prior", "classes": classes}
    assert refusal(calibration, counts=counts) == ("class_without_prior", "/calibration/prior")


def test_class_without_a_share_may_stay_where_another_stays_too() -> None:
    check_calibration_fits(job({"rule": "match_prior", "classes": [0]}), (5, 0, 5))


@pytest.mark.parametrize("name", ["maxvit_t", "squeezenet1_0", "squeezenet1_1"])
def test_student_without_class_biases_is_refused(name: str) -> None:
    student = {"architecture": f"torchvision/{name}"}
    calibration = {"rule": "match_prior"}
    assert refusal(calibration, student=student) == ("no_class_biases", "/calibration/rule")
    check_calibration_fits(job({"rule": "none"}, student=student), COUNTS)


def test_student_that_reuses_a_classifier_has_its_biases_and_a_plain_control_has_not() -> None:
    student = {"architecture": "torchvision/squeezenet1_0"}
    changes = {"student": student, "method": {"name": "simkd"}}
    calibration = {"rule": "match_prior"}
    check_calibration_fits(job(calibration, **changes, control=False), COUNTS)
    assert refusal(calibration, **changes) == ("no_class_biases", "/calibration/rule")
