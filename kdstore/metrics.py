"""Metrics: the curves of a job's runs, written without gap or duplicate, read down-sampled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session

from kdcore.progress import MetricPoint as NewPoint
from kdcore.report import Run
from kdcore.spec import parse_job
from kdcore.spec.runs import plan_runs
from kdstore import fence as fences
from kdstore.db import insert_for
from kdstore.tables import Job, MetricPoint


@dataclass(frozen=True)
class Series:
    """One curve: `values[i]` was measured at optimizer step `steps[i]`; steps rise."""

    name: str
    run: Run
    steps: tuple[int, ...]
    values: tuple[float, ...]


def append(session: Session, fence: fences.Fence, *, run: Run, points: Sequence[NewPoint]) -> None:
    """Write points of one run; a point that is there already is replaced.

    Values come back bit for bit, but for the sign of a zero, which SQLite does not keep.

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
    if not rows:
        return
    insert = insert_for(session, MetricPoint)
    upsert = insert.on_conflict_do_update(
        index_elements=["job_id", "run", "name", "step"], set_={"value": insert.excluded.value}
    )
    session.connection().execute(upsert, rows)


def rewind(session: Session, job_id: str, *, run: Run | None, step: int) -> None:
    """Forget what lies after `step` of `run`, and all later runs; with no run, everything.

    For an attempt that goes on from a checkpoint; the caller holds the fence.
    """
    own = MetricPoint.job_id == job_id
    if run is None:
        session.execute(delete(MetricPoint).where(own))
        return
    spec = session.execute(select(Job.spec).where(Job.id == job_id)).scalar_one()
    order = [planned.name for planned in plan_runs(parse_job(spec))]
    later = order[order.index(run) + 1 :]
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

    Of a longer series the first and the last point stay; the steps between are cut into buckets
    of equal width, and of each the smallest and the largest value stay at their own steps.
    Ordered by run and name. Empty as well when the job is not in this workspace.

    Raises:
        ValueError: `max_points` is below 4, too few to keep the extremes.
    """
    if max_points < 4:
        raise ValueError(f"max_points is at least 4, not {max_points}.")
    where = [
        MetricPoint.job_id == job_id,
        MetricPoint.step >= since_step,
        exists().where(Job.id == job_id, Job.workspace_id == workspace_id),
    ]
    if name is not None:
        where.append(MetricPoint.name == name)
    if run is not None:
        where.append(MetricPoint.run == run)
    rows = session.execute(_extremes(_bucketed_points(where, max_points=max_points))).all()
    series: list[Series] = []
    for (of_run, of_name), group in groupby(rows, key=lambda row: (row[0], row[1])):
        _, _, steps, values = zip(*group, strict=True)
        series.append(Series(name=of_name, run=of_run, steps=steps, values=values))
    return series


def _bucketed_points(where: Sequence[ColumnElement[bool]], *, max_points: int) -> CTE:
    """Points with the bucket they lie in; one of a short series, or an end, has its own."""
    bounds = (
        select(
            MetricPoint.run,
            MetricPoint.name,
            func.min(MetricPoint.step).label("first"),
            func.max(MetricPoint.step).label("last"),
            func.count().label("length"),
        )
        .where(*where)
        .group_by(MetricPoint.run, MetricPoint.name)
        .cte("bounds")
    )
    first, last = bounds.c.first, bounds.c.last
    num_buckets = (max_points - 2) // 2
    from_first = cast(MetricPoint.step - first, BigInteger)  # times num_buckets, 32 bits overflow
    bucket = case(
        (bounds.c.length <= max_points, MetricPoint.step),
        (MetricPoint.step == first, -1),
        (MetricPoint.step == last, -2),
        else_=from_first * num_buckets // (last - first),
    )
    return (
        select(
            MetricPoint.run,
            MetricPoint.name,
            MetricPoint.step,
            MetricPoint.value,
            bucket.label("bucket"),
        )
        .join(bounds, and_(bounds.c.run == MetricPoint.run, bounds.c.name == MetricPoint.name))
        .where(*where)
        .cte("points")
    )


def _extremes(points: CTE) -> Select[Run, str, int, float]:
    """Of each bucket the smallest and the largest value, each at the first step that has it."""
    bucket = (points.c.run, points.c.name, points.c.bucket)
    ranged = select(
        points,
        func.min(points.c.value).over(partition_by=bucket).label("smallest"),
        func.max(points.c.value).over(partition_by=bucket).label("largest"),
    ).cte("ranged")
    column = ranged.c
    step = func.min(column.step)
    return (
        select(column.run, column.name, step, column.value)
        .where(or_(column.value == column.smallest, column.value == column.largest))
        .group_by(column.run, column.name, column.bucket, column.value)
        .order_by(column.run, column.name, step)
    )
