"""From a recipe and a scale to the jobs that are run, in an order in which they can be."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.spec import AnyJob, EvaluateJob, networks_of, parse_job
from recipes.description import FULL_SCALE, Axis, Recipe, RecipeStep, Scale, Settings

_FULL = Scale(summary="the whole recipe")


@dataclass(frozen=True)
class PlannedJob:
    """One job of an experiment.

    Attributes:
        name: Of the step, with the point on each axis: `student.temperature-4.seed-0`.
        step: The step it belongs to.
        point: Axis -> label.
        spec: What is run.
        needs: Names of the jobs whose networks it uses, in the order of the spec.
    """

    name: str
    step: str
    point: Mapping[str, str]
    spec: AnyJob
    needs: tuple[str, ...]

    @property
    def seed(self) -> int:
        """What the job draws from; 0 for an evaluation, which draws nothing."""
        return 0 if isinstance(self.spec, EvaluateJob) else self.spec.training.seed


def scale_of(recipe: Recipe, name: str) -> Scale:
    """Give a scale by name; `full` is the recipe as it stands.

    Raises:
        ValueError: the recipe has no such scale.
    """
    if name == FULL_SCALE:
        return _FULL
    if name not in recipe.scales:
        known = ", ".join([FULL_SCALE, *recipe.scales])
        raise ValueError(f"There is no scale {name!r} here; there is {known}.")
    return recipe.scales[name]


def plan_jobs(recipe: Recipe, folder: Path, scale: Scale) -> tuple[PlannedJob, ...]:
    """Make every job of `recipe`, whose job specs lie relative to `folder`.

    Raises:
        SpecInvalid: a job is not one, or a variation makes it invalid.
        ValueError: a job needs a step that does not come before it.
    """
    jobs: dict[str, PlannedJob] = {}
    for step in [step for step in recipe.steps if step.name not in scale.leave_out]:
        for job in _jobs_of(step, folder, scale):
            if job.name in scale.leave_out:
                continue
            if missing := [need for need in job.needs if need not in jobs]:
                raise ValueError(f"{job.name} needs {missing[0]}, which no step before it makes.")
            jobs[job.name] = job
    return tuple(jobs.values())


def _jobs_of(step: RecipeStep, folder: Path, scale: Scale) -> Iterator[PlannedJob]:
    document = json.loads((folder / step.job).read_text())
    axes = [(axis.axis, _points(axis, scale)) for axis in step.vary]
    for combination in itertools.product(*(points.items() for _, points in axes)):
        labels = {name: label for (name, _), (label, _) in zip(axes, combination, strict=True)}
        varied = document
        for _, settings in combination:
            varied = with_settings(varied, settings)
        for change in scale.changes:
            if not change.steps or step.name in change.steps:
                varied = with_settings(varied, change.settings)
        suffix = "".join(f".{name}-{label}" for name, label in labels.items())
        spec = parse_job(varied | {"name": f"{document.get('name', step.name)}{suffix}"})
        yield PlannedJob(f"{step.name}{suffix}", step.name, labels, spec, networks_of(spec))


def _points(axis: Axis, scale: Scale) -> dict[str, Settings]:
    if axis.points == "every_method":
        points = {entry.name: _setting_of(entry) for entry in methods()}
    else:
        points = dict(axis.points)
    kept = scale.keep.get(axis.axis, tuple(points))
    return {
        label: {**settings, **axis.also.get(label, {})}
        for label, settings in points.items()
        if label in kept
    }


def _setting_of(entry: MethodEntry) -> Settings:
    """Choose a method with its defaults; one that takes no teacher gets none."""
    chosen: Settings = {"/method": {"name": entry.name}}
    return chosen if entry.needs.max_teachers else {**chosen, "/teachers": []}


def with_settings(document: Any, settings: Mapping[str, JsonValue]) -> Any:
    """Give a copy of a JSON document with the values at some pointers replaced.

    A member that is missing on the way is made; a list must have the element.
    """
    copy = json.loads(json.dumps(document))
    for pointer, value in settings.items():
        *path, last = [
            part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")
        ]
        here = copy
        for part in path:
            here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
        if isinstance(here, list):
            here[int(last)] = value
        else:
            here[last] = value
    return copy
