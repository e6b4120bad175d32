"""Metrics as a table."""

import csv
from pathlib import Path

import pytest

from kdcore.export import MetricSeries, write_metrics_csv


def test_every_point_is_a_row_and_reads_back_exactly(tmp_path: Path) -> None:
    values = (1 / 3, 1e-300, float("nan"), 2.0)
    series = [
        MetricSeries("student", "loss", (1, 2, 3, 40), values),
        MetricSeries("control", "loss", (1,), (0.1 + 0.2,)),
    ]

    path = write_metrics_csv(tmp_path / "metrics.csv", series)

    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["run", "name", "step", "value"]
    assert [row[:3] for row in rows[1:]] == [
        ["student", "loss", "1"],
        ["student", "loss", "2"],
        ["student", "loss", "3"],
        ["student", "loss", "40"],
        ["control", "loss", "1"],
    ]
    assert [repr(float(row[3])) for row in rows[1:]] == [*map(repr, values), repr(0.1 + 0.2)]


def test_no_metrics_is_a_table_without_rows(tmp_path: Path) -> None:
    path = write_metrics_csv(tmp_path / "metrics.csv", [])

    assert path.read_text() == "run,name,step,value\n"


def test_series_whose_points_do_not_pair_up_is_refused() -> None:
    with pytest.raises(ValueError, match="2 steps and 1 values"):
        MetricSeries("student", "loss", (1, 2), (0.5,))
