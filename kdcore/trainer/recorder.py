"""Keeps a job's metric history and tells every new point."""

from kdcore.progress import MetricPoint, Metrics, Reporter
from kdcore.report import Run
from kdcore.trainer.history import History


class Recorder:
    """The history so far, and the one place where points enter it."""

    def __init__(self, history: History, report: Reporter) -> None:
        self.history = history
        self._report = report

    def add(self, run: Run, step: int, values: dict[str, float]) -> None:
        """Record one value of several series at `step`, and report them."""
        for name, value in values.items():
            self.history.add(run, name, step, value)
        points = tuple(
            MetricPoint(name=name, step=step, value=value) for name, value in values.items()
        )
        self._report(Metrics(run=run, points=points))

    def newest(self, run: Run, name: str) -> float | None:
        """The last value of a series, or None."""
        _, values = self.history.series(run, name)
        return values[-1] if values else None
