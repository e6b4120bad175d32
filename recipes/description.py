"""What a `recipe.json` says: steps, variations, scales and expected numbers."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from kdcore.report import Run
from kdcore.spec.base import Integers, Names, SpecModel

# Runs that differ only on this axis are repetitions: their spread is what a result reports.
SEED_AXIS = "seed"
FULL_SCALE = "full"

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64)]
# JSON pointer into a job spec -> the value that stands there.
Settings = dict[Annotated[str, Field(pattern="^/")], JsonValue]


class Axis(SpecModel):
    """One way in which a step's job is varied; several axes give every combination."""

    axis: Label = Field(description="Its name, such as `temperature`; `seed` is averaged over.")
    points: dict[Label, Settings] | Literal["every_method"] = Field(
        description="What each point sets in the job; `every_method` is the whole catalogue."
    )
    also: dict[Label, Settings] = Field(
        default_factory=dict, description="What some of the points set besides."
    )


class RecipeStep(SpecModel):
    """One job in all its variations.

    The models that a job names are the steps before it: `teacher`, or `teacher.seed-1` for one of
    its variations.
    """

    name: Label
    job: str = Field(description="The job's spec, relative to the recipe's folder.")
    vary: Annotated[tuple[Axis, ...], Field(strict=False)] = ()


class Change(SpecModel):
    """What a scale sets in the jobs of some steps."""

    steps: Names = Field((), description="Names of steps; empty for all.")
    settings: Settings


class Scale(SpecModel):
    """A smaller edition of the experiment, for machines on which the full one takes too long."""

    summary: str = Field(description="What is smaller, for people.")
    leave_out: Names = Field(
        (), description="Steps that are not run, or single jobs of one: `teacher.seed-1`."
    )
    changes: Annotated[tuple[Change, ...], Field(strict=False)] = ()
    keep: dict[Label, Names] = Field(
        default_factory=dict, description="Axis -> the points that are run; others are left out."
    )


class Cell(SpecModel):
    """A column of the reports of one step, at one point of its axes other than the seed."""

    step: Label
    where: dict[Label, str] = Field(default_factory=dict, description="Axis -> point.")
    column: Run
    before_calibration: bool = Field(
        False, description="As training left the class biases, for jobs that shift them."
    )


class Expectation(SpecModel):
    """A number that a cell should have, as the mean over the seeds."""

    what: str
    of: Cell
    minus: Cell | None = Field(None, description="Subtracted, seed by seed: a gain over it.")
    measure: Literal["num_errors", "accuracy"]
    classes: Integers = Field((), description="Only test images of these labels; empty for all.")
    published: float | None = Field(None, description="What the source reports.")
    at_least: float | None = Field(None, description="The lowest mean that counts as reached.")
    at_most: float | None = Field(None, description="The highest mean that counts as reached.")


class DatasetSource(SpecModel):
    """The images an experiment needs."""

    name: Label
    needs: str = Field(description="What the folder or file given as DATA must hold.")


class Recipe(SpecModel):
    """A published experiment."""

    title: str
    source: str
    about: str = Field(description="What is done here, and how it differs from the source.")
    dataset: DatasetSource
    steps: Annotated[tuple[RecipeStep, ...], Field(strict=False, min_length=1)]
    scales: dict[Label, Scale] = Field(default_factory=dict)
    expected: Annotated[tuple[Expectation, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [step.name for step in self.steps]
        if len(names) != len(set(names)):
            raise ValueError("Two steps have the same name.")
        cells = [cell for e in self.expected for cell in (e.of, e.minus) if cell is not None]
        asked = {cell.step for cell in cells}
        asked |= {n for scale in self.scales.values() for c in scale.changes for n in c.steps}
        asked |= {n.partition(".")[0] for scale in self.scales.values() for n in scale.leave_out}
        if unknown := asked - set(names):
            raise ValueError(f"There is no step {', '.join(sorted(unknown))}.")
        if FULL_SCALE in self.scales:
            raise ValueError(f"The scale {FULL_SCALE!r} is the recipe as it stands.")
        return self


def read_recipe(folder: Path) -> Recipe:
    """Read `folder/recipe.json`.

    Raises:
        FileNotFoundError: there is none.
        ValidationError: it is not a recipe.
    """
    return Recipe.model_validate_json((folder / "recipe.json").read_bytes())
