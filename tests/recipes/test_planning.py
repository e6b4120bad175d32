"""Recipes and scales become jobs."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kdcore.catalog.methods import methods
from kdcore.spec import DistillJob, LogitKd
from recipes.description import Recipe, read_recipe
from recipes.planning import PlannedJob, plan_jobs, scale_of, with_settings

RECIPES = Path(__file__).parents[2] / "recipes"


def planned(folder: Path, scale: str = "full") -> tuple[PlannedJob, ...]:
    recipe = read_recipe(folder / "digits")
    return plan_jobs(recipe, folder / "digits", scale_of(recipe, scale))


def changed(folder: Path, **changes: Any) -> None:
    path = folder / "digits" / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_axes_give_every_combination_in_order(experiment: Path) -> None:
    jobs = planned(experiment)

    assert [job.name for job in jobs] == [
        "teacher",
        "student.temperature-1.seed-0",
        "student.temperature-1.seed-5",
        "student.temperature-4.seed-0",
        "student.temperature-4.seed-5",
    ]
    last = jobs[-1].spec
    assert isinstance(last, DistillJob)
    assert isinstance(last.method, LogitKd)
    assert (last.method.temperature, last.training.seed) == (4.0, 5)
    assert jobs[-1].point == {"temperature": "4", "seed": "5"}
    assert jobs[-1].needs == ("teacher",)


def test_scale_changes_its_steps_and_leaves_out_points(experiment: Path) -> None:
    jobs = planned(experiment, "small")

    assert [job.name for job in jobs[1:]] == [
        "student.temperature-1.seed-5",
        "student.temperature-4.seed-5",
    ]
    epochs = [job.spec.training.num_epochs for job in jobs if job.spec.kind != "evaluate"]
    assert epochs == [8, 1, 1]


def test_scale_leaves_out_single_jobs_and_whole_steps(experiment: Path) -> None:
    small = {"summary": "less", "leave_out": ["student.temperature-1.seed-0"]}
    changed(experiment, scales={"small": small, "tiny": small | {"leave_out": ["student"]}})

    names = [job.name for job in planned(experiment, "small")]
    assert names == ["teacher", *(job.name for job in planned(experiment)[2:])]
    assert [job.name for job in planned(experiment, "tiny")] == ["teacher"]


def test_unknown_scale_is_refused_with_the_known_ones(experiment: Path) -> None:
    with pytest.raises(ValueError, match="there is full, small"):
        planned(experiment, "tiny")


def test_job_that_needs_a_later_step_is_refused(experiment: Path) -> None:
    document = json.loads((experiment / "digits" / "recipe.json").read_text())
    changed(experiment, steps=document["steps"][::-1])

    with pytest.raises(ValueError, match="needs teacher, which no step before it makes"):
        planned(experiment)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": [{"name": "teacher", "job": "teacher.json"}] * 2}, "same name"),
        ({"steps": [{"name": "teacher", "job": "teacher.json"}]}, "There is no step student"),
        ({"scales": {"full": {"summary": "another"}}}, "the recipe as it stands"),
    ],
)
def test_recipe_that_contradicts_itself_is_refused(
    experiment: Path, changes: dict[str, Any], message: str
) -> None:
    changed(experiment, **changes)
    with pytest.raises(ValidationError, match=message):
        read_recipe(experiment / "digits")


def test_every_method_is_the_whole_catalogue(experiment: Path) -> None:
    teacher = {"name": "teacher", "job": "teacher.json"}
    also = {"self_distillation": {"/control": True}, "logit_kd": {"/method/temperature": 7}}
    axis = {"axis": "method", "points": "every_method", "also": also}
    student = {"name": "student", "job": "student.json", "vary": [axis]}
    changed(experiment, steps=[teacher, student])

    specs = [job.spec for job in planned(experiment)[1:]]
    assert [spec.method.name for spec in specs if isinstance(spec, DistillJob)] == [
        entry.name for entry in methods()
    ]
    methods_chosen = [spec.method for spec in specs if isinstance(spec, DistillJob)]
    (logit_kd,) = [method for method in methods_chosen if isinstance(method, LogitKd)]
    assert logit_kd.temperature == 7.0


def test_settings_go_where_their_pointer_says_and_leave_the_original_alone() -> None:
    document = {"a": [{"b": 1}], "c/d": 2}
    varied = with_settings(document, {"/a/0/b": 5, "/c~1d": 6, "/e/f": 7, "/a/0": {"b": 8}})

    assert varied == {"a": [{"b": 8}], "c/d": 6, "e": {"f": 7}}
    assert document == {"a": [{"b": 1}], "c/d": 2}


def test_every_experiment_here_plans_at_every_scale() -> None:
    folders = [path.parent for path in RECIPES.glob("*/recipe.json")]
    assert folders
    for folder in folders:
        recipe: Recipe = read_recipe(folder)
        for scale in ("full", *recipe.scales):
            jobs = plan_jobs(recipe, folder, scale_of(recipe, scale))
            places = {
                (job.step, *((a, b) for a, b in job.point.items() if a != "seed")) for job in jobs
            }
            cells = [c for e in recipe.expected for c in (e.of, e.minus) if c is not None]
            if scale == "full":
                assert {(cell.step, *cell.where.items()) for cell in cells} <= places
