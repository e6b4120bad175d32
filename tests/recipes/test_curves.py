"""Jobs of several stages leave the curves that show what the first stage was worth."""

import json
from pathlib import Path

from recipes.result import RecipeResult
from tests.recipes.test_running import run_digits


def with_method(experiment: Path, method: str) -> None:
    network = {"architecture": "resnet_cifar", "depth": 8, "width": 8}
    changes = {"teacher": {"network": network}, "student": {"student": network}}
    changes["student"]["method"] = {"name": method}
    for name, change in changes.items():
        path = experiment / "digits" / f"{name}.json"
        job = json.loads(path.read_text()) | change | {"transfer": {"fraction": 0.1}}
        path.write_text(json.dumps(job))
    recipe = experiment / "digits" / "recipe.json"
    one = json.loads(recipe.read_text())
    one["steps"][1]["vary"] = []
    one["expected"] = []
    recipe.write_text(json.dumps(one))


def test_stage_loss_and_accuracy_are_kept_of_a_job_with_two_stages(experiment: Path) -> None:
    with_method(experiment, "fitnet")
    _, document = run_digits(experiment)
    teacher, student = RecipeResult.model_validate(document).groups

    assert teacher.curves == ()
    found = {(curve.run, curve.metric): curve for curve in student.curves}
    assert set(found) == {
        ("student", "hint"),
        ("student", "test_accuracy"),
        ("control", "test_accuracy"),
    }
    accuracy = found["student", "test_accuracy"]
    assert accuracy.steps[0] > found["student", "hint"].steps[-1]
    assert accuracy.values[-1] == student.columns["student"]["accuracy"].mean


def test_one_stage_has_no_curves_here(experiment: Path) -> None:
    with_method(experiment, "logit_kd")
    _, document = run_digits(experiment, "--note", "Measured twice.")
    result = RecipeResult.model_validate(document)

    assert [group.curves for group in result.groups] == [(), ()]
    assert result.notes == ("Measured twice.",)
