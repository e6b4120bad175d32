"""A small experiment on the built-in digits."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

TEACHER: dict[str, Any] = {
    "kind": "train",
    "name": "teacher",
    "dataset": "digits",
    "network": {"architecture": "mlp", "hidden": [32]},
    "training": {"num_epochs": 8, "batch_size": 32},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
STUDENT: dict[str, Any] = {
    "kind": "distill",
    "name": "student",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "student": {"architecture": "mlp", "hidden": [4]},
    "method": {"name": "logit_kd"},
    "transfer": {"exclude_classes": [3]},
    "calibration": {"rule": "match_prior"},
    "training": {"num_epochs": 2, "batch_size": 64},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
SEEDS = {"axis": "seed", "points": {"0": {"/training/seed": 0}, "5": {"/training/seed": 5}}}
TEMPERATURES = {
    "axis": "temperature",
    "points": {"1": {"/method/temperature": 1}, "4": {"/method/temperature": 4}},
}
RECIPE: dict[str, Any] = {
    "title": "Digits",
    "source": "nobody",
    "about": "A test.",
    "dataset": {"name": "digits", "needs": "nothing"},
    "steps": [
        {"name": "teacher", "job": "teacher.json"},
        {"name": "student", "job": "student.json", "vary": [TEMPERATURES, SEEDS]},
    ],
    "scales": {
        "small": {
            "summary": "one epoch, one seed",
            "changes": [{"steps": ["student"], "settings": {"/training/num_epochs": 1}}],
            "keep": {"seed": ["5"]},
        }
    },
    "expected": [
        {
            "what": "the teacher",
            "of": {"step": "teacher", "column": "network"},
            "measure": "accuracy",
            "published": 0.97,
            "at_least": 0.8,
        },
        {
            "what": "T=4 against T=1",
            "of": {"step": "student", "where": {"temperature": "4"}, "column": "student"},
            "minus": {"step": "student", "where": {"temperature": "1"}, "column": "student"},
            "measure": "num_errors",
            "classes": [3],
            "at_most": -1000,
        },
        {
            "what": "threes before calibration",
            "of": {
                "step": "student",
                "where": {"temperature": "4"},
                "column": "control",
                "before_calibration": True,
            },
            "measure": "accuracy",
            "classes": [3],
        },
    ],
}


@pytest.fixture(scope="session")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the experiment `digits`, to copy."""
    folder = tmp_path_factory.mktemp("experiment") / "recipes"
    (folder / "digits").mkdir(parents=True)
    for name, document in (("recipe", RECIPE), ("teacher", TEACHER), ("student", STUDENT)):
        (folder / "digits" / f"{name}.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def experiment(recipes: Path, tmp_path: Path) -> Path:
    """The experiment `digits`, of this test alone; the folder above it."""
    shutil.copytree(recipes, tmp_path / "recipes")
    return tmp_path / "recipes"
