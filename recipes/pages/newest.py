"""Finds the result to show."""

import json
from pathlib import Path

from recipes.description import FULL_SCALE
from recipes.result import RecipeResult


def newest_result(folder: Path, recipe: str) -> RecipeResult | None:
    """Read the newest result of an experiment; one at full scale goes before any smaller one."""
    found = [
        RecipeResult.model_validate_json(path.read_bytes())
        for path in folder.glob(f"{recipe}*.json")
        if json.loads(path.read_bytes()).get("recipe") == recipe
    ]
    return max(found, key=lambda one: (one.scale == FULL_SCALE, one.date), default=None)
