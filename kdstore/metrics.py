"""Metrics: the curves of a job's runs, written without gap or duplicate, read down-sampled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from kdcore.progress import MetricPoint as NewPoint
from kdcore.report import Run
from kdstore import fence as fences
from kdstore.db import insert_for
from kdstore.tables import MetricPoint

# In this order runs of one job follow one another; a job has `network`, or the others.
RUN_ORDER: tuple[Run, ...] = ("teacher", "network", "student", "control")

_ROWS_PER_INSERT = 500  # SQLite takes at most 32766 bound values in a statement


@dataclass(frozen=True)
class Series:
    """One curve: `values[i]` was measured at optimizer step `steps[i]`; steps rise."""

    name: str
    run: Run
    steps: tuple[int, ...]
    values: tuple[float, ...]


def append(session: Session, fence: fences.Fence, *, run: Run, points: Sequence[NewPoint]) -> None:
    """Write points of one run; a point that is there already is replaced.

    Raises:
        AttemptLost: the attempt no longer owns the job.
        ValueError: a value is not finite; a run that diverges is stopped, not drawn.
    """
    for point in points:
        if not math.isfinite(point.value):
            raise ValueError(f"{run}/{point.name} at step {point.step} is {point.value}.")
    fences.write(session, fence)
    # One statement must not hold the same key twice; the last value given counts.
    unique = {(point.name, point.step): point.value for point in points}
    rows = [
        {"job_id": fence.job_id, "run": run, "name": name, "step": step, "value": value}
        for (name, step), value in unique.items()
    ]
    for start in range(0, len(rows), _ROWS_PER_INSERT):
        insert = insert_for(session, MetricPoint).values(rows[start : start + _ROWS_PER_INSERT])
        session.execute(
            insert.on_conflict_do_update(
                index_elements=["job_id", "run", "name", "step"],
                set_={"value": insert.excluded.value},
            )
        )


def rewind(session: Session, job_id: str, *, run: Run | None, step: int) -> None:
    """Forget what lies after `step` of `run`, and all later runs; with no run, everything.

    For an attempt that goes on from a checkpoint; the caller holds the fence.
    """
    own = MetricPoint.job_id == job_id
    if run is None:
        session.execute(delete(MetricPoint).where(own))
        return
    later = RUN_ORDER[RUN_ORDER.index(run) + 1 :]
    session.execute(delete(MetricPoint).where(own, MetricPoint.run.in_(later)))
    session.execute(delete(MetricPoint).where(own, MetricPoint.run == run, MetricPoint.step > step))


def read(
    session: Session,
    *,
    workspace_id: str,
    job_id: str,
    name: str | None = None,
    run: Run | None = None,
    since_step: int = 0,
    max_points: int = 1000,
) -> list[Series]:
    """Read the series of a job from `since_step` (inclusive) on, each with at most `max_points`.

    A longer series is cut into buckets of equal width in steps; of each bucket the points with
    the smallest and the largest value stay, and so do the first and the last point of the series.
    Ordered by run and name. Empty as well when the job is not in this workspace.
    """
    raise NotImplementedError
