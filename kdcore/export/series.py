"""One curve of a run: what the metric files and charts are made of."""

from dataclasses import dataclass

from kdcore.report import Run


@dataclass(frozen=True)
class MetricSeries:
    """Values of one metric of one run at rising steps; both tuples have the same length."""

    run: Run
    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse a series whose points do not pair up."""
        if len(self.steps) != len(self.values):
            raise ValueError(
                f"{self.run}/{self.name} has {len(self.steps)} steps and {len(self.values)} values."
            )
