"""`metrics.csv`: every point of every curve, one a row."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from kdcore.export.atomic import write_text
from kdcore.export.series import MetricSeries


def write_metrics_csv(path: Path, series: Iterable[MetricSeries]) -> Path:
    """Write columns run, name, step, value; gives `path`.

    Values are written with as many digits as reading them back exactly takes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", "name", "step", "value"))
    for one in series:
        for step, value in zip(one.steps, one.values, strict=True):
            writer.writerow((one.run, one.name, step, repr(value)))
    return write_text(path, text.getvalue())
