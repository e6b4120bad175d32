"""The metric history of a job: it travels inside checkpoints, so a resumed job has all of it."""

from collections.abc import Iterator, Mapping

import torch

from kdcore.report import Run

Series = tuple[list[int], list[float]]


class History:
    """Series of (step, value) for each run and metric name, in the order of their steps."""

    def __init__(self) -> None:
        self._series: dict[tuple[Run, str], Series] = {}

    def add(self, run: Run, name: str, step: int, value: float) -> None:
        """Append a point; steps of a series rise."""
        steps, values = self._series.setdefault((run, name), ([], []))
        steps.append(step)
        values.append(value)

    def series(self, run: Run, name: str) -> Series:
        """Steps and values of one series; empty lists if it has no point."""
        return self._series.get((run, name), ([], []))

    def items(self) -> Iterator[tuple[Run, str, Series]]:
        """Every series: runs in the order in which they began, names by alphabet."""
        runs = list(dict.fromkeys(run for run, _ in self._series))
        for run, name in sorted(self._series, key=lambda key: (runs.index(key[0]), key[1])):
            yield run, name, self._series[run, name]

    def names(self) -> list[str]:
        """Give `<run>/<name>` of every series, in the order in which they began."""
        return [f"{run}/{name}" for run, name in self._series]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Float64 tensors [2, points] (steps, values) by `<run>/<name>`, without loss."""
        return {
            f"{run}/{name}": torch.tensor([steps, values], dtype=torch.float64)
            for (run, name), (steps, values) in self._series.items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], order: list[str]) -> "History":
        """Rebuild what `tensors` gave; `order` lists the names as they began."""
        history = cls()
        for name in order:
            run, _, metric = name.partition("/")
            steps, values = tensors[name].tolist()
            history._series[run, metric] = ([int(step) for step in steps], values)
        return history
