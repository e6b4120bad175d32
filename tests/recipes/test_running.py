"""An experiment is run once, goes on where it stopped, and is compared with what was expected."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from recipes.__main__ import main

SPREAD_OF_TWO = 2


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory, recipes: Path) -> Path:
    """A folder in which the experiment was run at its small scale, to copy."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(recipes, folder / "recipes")
    _, result = run_digits(folder / "recipes", "--scale", "small")
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The experiment with all its small jobs done, and the result that they gave."""
    folder = tmp_path / "finished"
    shutil.copytree(finished_once, folder)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return folder / "recipes", result


def run_digits(experiment: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    folder = experiment.parent
    code = main(
        [
            "digits",
            *("--recipes", str(experiment), "--work", str(folder / "work")),
            *("--out", str(folder / "out"), "--threads", "1", "--device", "cpu", *arguments),
        ]
    )
    (path,) = (folder / "out").glob("digits*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    path.unlink()
    return code, document


def job_folders(experiment: Path) -> dict[str, float]:
    folders = (experiment.parent / "work" / "jobs").iterdir()
    return {folder.name: (folder / "time.json").stat().st_mtime for folder in folders}


def test_result_has_spread_time_and_expected_beside_measured(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result = run_digits(experiment)

    assert code == 0
    teacher, cold, warm = result["groups"]
    assert (teacher["step"], teacher["point"], teacher["seeds"]) == ("teacher", {}, [0])
    assert (cold["point"], warm["point"]) == ({"temperature": "1"}, {"temperature": "4"})
    errors = cold["columns"]["student"]["num_errors"]
    assert (errors["lowest"], errors["highest"]) == (min(errors["values"]), max(errors["values"]))
    assert errors["mean"] == sum(errors["values"]) / SPREAD_OF_TWO
    assert cold["seeds"] == [0, 5]
    assert cold["seconds"]["mean"] > 0
    assert cold["spec"]["training"]["num_epochs"] == SPREAD_OF_TWO
    assert set(cold["columns"]) == {"teacher", "student", "control"}
    assert [c["is_reached"] for c in result["comparisons"]] == [True, False, None]
    assert result["scale"] == "full"
    assert result["machine"]["num_threads"] == 1
    # The difference is taken seed by seed over the images of the class asked for.
    gains = result["comparisons"][1]["measured"]["values"]
    assert len(gains) == SPREAD_OF_TWO
    assert all(float(gain).is_integer() and abs(gain) <= 40 for gain in gains)
    before, after = (warm["calibrated"]["control"][when] for when in ("before", "after"))
    threes = result["comparisons"][2]["measured"]["values"]
    assert threes[0] == before["per_class_accuracy"][3] != after["per_class_accuracy"][3]
    shown = capsys.readouterr().out
    assert "97.00 %" in shown
    assert "NOT reached" in shown


def test_finished_jobs_are_not_run_again(finished: tuple[Path, dict[str, Any]]) -> None:
    experiment, first = finished
    before = job_folders(experiment)
    _, second = run_digits(experiment, "--scale", "small")

    assert job_folders(experiment) == before
    assert first["groups"] == second["groups"]


def test_what_is_finished_can_be_reported_before_the_rest_is_run(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    experiment, _ = finished
    before = job_folders(experiment)
    code, result = run_digits(experiment, "--only-finished")

    assert code == 1
    assert job_folders(experiment) == before
    assert [group["step"] for group in result["groups"]] == ["teacher"]
    assert {failure["code"] for failure in result["failures"]} == {"not_run"}


def test_changed_job_is_run_anew_beside_the_old_one(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    experiment, _ = finished
    before = job_folders(experiment)
    path = experiment / "digits" / "student.json"
    wider = json.loads(path.read_text()) | {"student": {"architecture": "mlp", "hidden": [5]}}
    path.write_text(json.dumps(wider))
    run_digits(experiment, "--scale", "small")

    after = job_folders(experiment)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


def test_damaged_result_is_made_again(finished: tuple[Path, dict[str, Any]]) -> None:
    experiment, first = finished
    jobs = experiment.parent / "work" / "jobs"
    for path in jobs.glob("*/artifacts/report.json"):
        path.write_text("{}")
    _, second = run_digits(experiment, "--scale", "small")

    values = [[group["columns"] for group in result["groups"]] for result in (first, second)]
    assert values[0] == values[1]


def test_jobs_side_by_side_give_what_jobs_one_by_one_give(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    experiment, alone = finished
    other = experiment.parent / "other"
    _, together = run_digits(experiment, "--scale", "small", "--workers", "2", "--work", str(other))

    values = [[group["columns"] for group in result["groups"]] for result in (alone, together)]
    assert values[0] == values[1]


def test_teacher_that_was_trained_elsewhere_is_taken(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    experiment, _ = finished
    jobs = experiment.parent / "work" / "jobs"
    teacher = next(f for f in jobs.iterdir() if (f / "artifacts" / "network.json").exists())
    elsewhere = experiment.parent / "elsewhere"
    teacher.rename(elsewhere)
    (elsewhere / "time.json").unlink()
    before = job_folders(experiment)
    _, result = run_digits(experiment, "--scale", "small", "--given", f"teacher={elsewhere}")

    assert job_folders(experiment) == before
    assert result["groups"][0]["seconds"] is None


def student_under_other_ids(experiment: Path) -> Path:
    """Give the student of the small scale as a service leaves it, out of the store."""
    jobs = experiment.parent / "work" / "jobs"
    student = next(f for f in jobs.iterdir() if (f / "artifacts" / "student.json").exists())
    elsewhere = experiment.parent / "elsewhere"
    student.rename(elsewhere)
    path = elsewhere / "artifacts" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"]["dataset"] = manifest["dataset"]["dataset"] = "dts_1"
    manifest["spec"]["teachers"][0]["model"] = manifest["teachers"][0]["model"] = "mdl_1"
    path.write_text(json.dumps(manifest))
    return elsewhere


def student_name(folder: Path) -> str:
    name: str = json.loads((folder / "artifacts" / "manifest.json").read_text())["spec"]["name"]
    return name


def test_student_that_a_service_trained_is_taken_whatever_its_ids(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    experiment, _ = finished
    elsewhere = student_under_other_ids(experiment)
    before = job_folders(experiment)
    given = f"{student_name(elsewhere)}={elsewhere}"
    code, _ = run_digits(experiment, "--scale", "small", "--given", given)

    assert code == 0
    assert job_folders(experiment) == before


@pytest.mark.parametrize("change", ["teacher", "images"])
def test_student_of_other_weights_or_images_is_not_taken(
    finished: tuple[Path, dict[str, Any]], change: str
) -> None:
    experiment, _ = finished
    elsewhere = student_under_other_ids(experiment)
    path = elsewhere / "artifacts" / "manifest.json"
    manifest = json.loads(path.read_text())
    if change == "teacher":
        manifest["teachers"][0]["sha256"] = "0" * 64
    else:
        manifest["dataset"]["splits"]["train"]["images_sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    name = student_name(elsewhere)
    with pytest.raises(ValueError, match=f"is not a result of {name}"):
        run_digits(experiment, "--scale", "small", "--given", f"{name}={elsewhere}")


def test_result_of_another_job_is_not_taken(finished: tuple[Path, dict[str, Any]]) -> None:
    experiment, _ = finished
    jobs = experiment.parent / "work" / "jobs"
    student = next(f for f in jobs.iterdir() if (f / "artifacts" / "student.json").exists())
    with pytest.raises(ValueError, match="is not a result of teacher"):
        run_digits(experiment, "--given", f"teacher={student}")


def test_failed_job_is_told_with_those_that_need_it(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = experiment / "digits" / "teacher.json"
    wrong = json.loads(path.read_text()) | {"transfer": {"exclude_classes": [77]}}
    path.write_text(json.dumps(wrong))
    code, result = run_digits(experiment, "--scale", "small")

    assert code == 1
    assert [failure["job"] for failure in result["failures"]] == [
        "teacher",
        "student.temperature-1.seed-5",
        "student.temperature-4.seed-5",
    ]
    assert result["failures"][1]["code"] == "job_before_failed"
    assert result["comparisons"][0]["measured"] is None
    assert "not run" in capsys.readouterr().out


def test_job_whose_layers_and_stages_are_chosen_for_it_is_found_again(experiment: Path) -> None:
    network = {"architecture": "resnet_cifar", "depth": 8, "width": 8}
    changes = {"teacher": {"network": network}, "student": {"student": network}}
    changes["student"]["method"] = {"name": "fitnet"}
    for name, change in changes.items():
        path = experiment / "digits" / f"{name}.json"
        job = json.loads(path.read_text()) | change | {"transfer": {"fraction": 0.1}}
        path.write_text(json.dumps(job))
    recipe = experiment / "digits" / "recipe.json"
    one = json.loads(recipe.read_text())
    one["steps"][1]["vary"] = []
    one["expected"] = []
    recipe.write_text(json.dumps(one))
    code, _ = run_digits(experiment)
    before = job_folders(experiment)
    run_digits(experiment)

    assert code == 0
    assert job_folders(experiment) == before
