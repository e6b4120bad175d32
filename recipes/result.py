"""What an experiment gave: numbers with their spread over seeds, beside the expected ones."""

import statistics
from collections.abc import Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kdcore.data import DatasetDescription
from kdcore.report import Report, SplitScores
from kdcore.spec import JobSpec
from recipes.curves import Curve, curves_of
from recipes.description import SEED_AXIS, Cell, Expectation, Recipe
from recipes.planning import PlannedJob
from recipes.running import FailedJob, Outcome
from recipes.store import FinishedJob

MEASURES = ("num_errors", "accuracy", "cross_entropy")


class _ResultModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_ResultModel):
    """One measure over the seeds, in their order."""

    mean: float
    lowest: float
    highest: float
    values: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float]) -> "Spread":
        """Take the spread of at least one value."""
        return cls(
            mean=statistics.mean(values),
            lowest=min(values),
            highest=max(values),
            values=tuple(values),
        )


class Calibrated(_ResultModel):
    """What shifting the class biases did to one network of the first seed, on the test split."""

    offsets: tuple[float, ...] = Field(description="Added to the biases, in label order.")
    before: SplitScores
    after: SplitScores


class Group(_ResultModel):
    """The runs of one step that differ only in their seed, measured on the test split."""

    step: str
    point: dict[str, str] = Field(description="Axis -> label, without the seed.")
    seeds: tuple[int, ...]
    columns: dict[str, dict[str, Spread]] = Field(description="Column -> measure -> spread.")
    calibrated: dict[str, Calibrated] = Field(
        default_factory=dict, description="By column, where the job shifts class biases."
    )
    curves: tuple[Curve, ...] = Field(
        (), description="Of jobs with several stages: the first one's loss, and test accuracy."
    )
    seconds: Spread | None = Field(description="Of a job; null where one was run elsewhere.")
    devices: tuple[str, ...]
    revisions: tuple[str | None, ...]
    spec: JobSpec = Field(description="Of the first seed.")


class Comparison(_ResultModel):
    """An expected number beside the measured one; no number if nothing was run for it."""

    expectation: Expectation
    measured: Spread | None
    is_reached: bool | None = Field(description="null without bounds, or without a number.")


class Failure(_ResultModel):
    """A job that did not finish."""

    job: str
    code: str
    message: str


class RecipeResult(_ResultModel):
    """The file in `benchmarks/results/`."""

    recipe: str
    title: str
    source: str
    date: date
    scale: str
    scale_summary: str
    dataset: DatasetDescription
    machine: dict[str, str | int]
    num_workers: int
    notes: tuple[str, ...] = Field(
        (), description="What a reader must know of how this was run, beside the recipe."
    )
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    failures: tuple[Failure, ...]


def group_jobs(outcomes: Sequence[Outcome]) -> tuple[Group, ...]:
    """Put the finished jobs that differ only in their seed together, in the order they came."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[FinishedJob]] = {}
    for outcome in outcomes:
        if isinstance(outcome, FinishedJob):
            key = (outcome.planned.step, tuple(_point(outcome.planned).items()))
            groups.setdefault(key, []).append(outcome)
    return tuple(_group(step, dict(point), finished) for (step, point), finished in groups.items())


def compare(recipe: Recipe, outcomes: Sequence[Outcome]) -> tuple[Comparison, ...]:
    """Measure everything that the recipe expects."""
    finished = [outcome for outcome in outcomes if isinstance(outcome, FinishedJob)]
    return tuple(_compare(expectation, finished) for expectation in recipe.expected)


def failures_of(outcomes: Sequence[Outcome]) -> tuple[Failure, ...]:
    """List what did not finish."""
    return tuple(
        Failure(job=outcome.planned.name, code=outcome.code, message=outcome.message)
        for outcome in outcomes
        if isinstance(outcome, FailedJob)
    )


def _point(planned: PlannedJob) -> dict[str, str]:
    return {axis: label for axis, label in planned.point.items() if axis != SEED_AXIS}


def _group(step: str, point: dict[str, str], finished: list[FinishedJob]) -> Group:
    reports = [job.report for job in finished]
    seconds = [job.spent.seconds for job in finished if job.spent is not None]
    return Group(
        step=step,
        point=point,
        seeds=tuple(job.planned.seed for job in finished),
        columns={
            column: {
                measure: Spread.over([_column(report, column, measure) for report in reports])
                for measure in MEASURES
            }
            for column in reports[0].columns
        },
        calibrated=_calibrated(reports[0]),
        curves=tuple(curve for job in finished for curve in curves_of(job)),
        seconds=Spread.over(seconds) if len(seconds) == len(finished) else None,
        devices=tuple(report.environment.device_name for report in reports),
        revisions=tuple(report.environment.revision for report in reports),
        spec=finished[0].planned.spec,
    )


def _calibrated(report: Report) -> dict[str, Calibrated]:
    if report.calibration is None:
        return {}
    return {
        run: Calibrated(
            offsets=offsets,
            before=report.calibration.before[run]["test"],
            after=report.columns[run].splits["test"],
        )
        for run, offsets in report.calibration.offsets.items()
    }


def _column(report: Report, column: str, measure: str) -> float:
    value: Any = getattr(report.columns[column].splits["test"], measure)
    return float(value)


def _compare(expectation: Expectation, finished: Sequence[FinishedJob]) -> Comparison:
    values = _by_seed(expectation.of, expectation, finished)
    if expectation.minus is not None:
        others = _by_seed(expectation.minus, expectation, finished)
        values = {seed: values[seed] - others[seed] for seed in values if seed in others}
    if not values:
        return Comparison(expectation=expectation, measured=None, is_reached=None)
    spread = Spread.over(tuple(values.values()))
    return Comparison(
        expectation=expectation, measured=spread, is_reached=_is_reached(expectation, spread.mean)
    )


def _by_seed(
    cell: Cell, expectation: Expectation, finished: Sequence[FinishedJob]
) -> dict[int, float]:
    """Measure a cell in each of its runs, by their seed."""
    return {
        job.planned.seed: _measure(_scores(job.report, cell), expectation)
        for job in finished
        if job.planned.step == cell.step and _point(job.planned) == cell.where
    }


def _scores(report: Report, cell: Cell) -> SplitScores:
    if cell.before_calibration and report.calibration is not None:
        return report.calibration.before[cell.column]["test"]
    return report.columns[cell.column].splits["test"]


def _measure(scores: SplitScores, expectation: Expectation) -> float:
    """Take one number off a report; with `classes`, only over the images of those labels."""
    labels = expectation.classes or range(len(scores.per_class_num_examples))
    counts = [scores.per_class_num_examples[label] for label in labels]
    shares = [scores.per_class_accuracy[label] or 0.0 for label in labels]
    num_examples = sum(counts)
    num_right = sum(round(share * num) for share, num in zip(shares, counts, strict=True))
    if expectation.measure == "num_errors":
        return num_examples - num_right
    return num_right / num_examples


def _is_reached(expectation: Expectation, mean: float) -> bool | None:
    if expectation.at_least is None and expectation.at_most is None:
        return None
    enough = expectation.at_least is None or mean >= expectation.at_least
    return enough and (expectation.at_most is None or mean <= expectation.at_most)
