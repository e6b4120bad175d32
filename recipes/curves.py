"""Curves of jobs that train in several stages: the first one's loss, and test accuracy."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kdcore.export.thinning import thin
from kdcore.report import Run
from kdcore.spec import DistillJob
from recipes.store import FinishedJob

ACCURACY = "test_accuracy"
_MAX_POINTS = 60


class Curve(BaseModel):
    """Values of one metric of one run at rising steps, thinned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    run: Run
    metric: str = Field(description="A stage's own loss, such as `fsp`, or `test_accuracy`.")
    steps: tuple[int, ...] = Field(description="Optimizer steps from the beginning of the run.")
    values: tuple[float, ...]


def curves_of(job: FinishedJob) -> tuple[Curve, ...]:
    """Read the first stage's loss and the test accuracy of a job that has several stages.

    Other jobs have none here. A stage that does not reach the logits has no accuracy.
    """
    spec = job.planned.spec
    if not isinstance(spec, DistillJob) or len(spec.method.STAGES) == 1:
        return ()
    wanted = (spec.method.STAGES[0], ACCURACY)
    found = _read(job.folder / "artifacts" / "metrics.csv", job.planned.seed)
    return tuple(curve for curve in found if curve.metric in wanted)


def _read(path: Path, seed: int) -> Iterator[Curve]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for (run, metric), points in groupby(rows, lambda row: (row["run"], row["name"])):
        kept = thin([(int(row["step"]), float(row["value"])) for row in points], _MAX_POINTS)
        yield Curve(
            seed=seed,
            run=run,
            metric=metric,
            steps=tuple(int(step) for step, _ in kept),
            values=tuple(value for _, value in kept),
        )
