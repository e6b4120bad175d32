"""The charts of `report.html`: one for each metric, all runs over one another."""

from collections.abc import Mapping, Sequence

from kdcore.export.line_chart import ChartLine, ChartMark, ReferenceLine, line_chart
from kdcore.export.markup import Markup, element
from kdcore.export.number_text import axis_number
from kdcore.export.series import MetricSeries
from kdcore.report import Report, in_report_order, kind_of

ACCURACY, CROSS_ENTROPY = "test_accuracy", "test_cross_entropy"
_TITLES = {
    ACCURACY: "Accuracy on the test split",
    CROSS_ENTROPY: "Cross-entropy on the test split, nats",
    "loss": "Training loss",
    "cross_entropy": "Training loss: cross-entropy with the labels, nats",
}
_HAS_TEACHER = (ACCURACY, CROSS_ENTROPY)


def metric_charts(
    report: Report, series: Sequence[MetricSeries], stage_starts: Mapping[str, int]
) -> tuple[Markup, ...]:
    """Draw every metric; those on the test split first, with the teacher's level beside them.

    Of several stages each one after the first is marked where it begins.
    """
    marks = [ChartMark(name, step) for name, step in stage_starts.items() if step]
    names = list(dict.fromkeys([*_TITLES, *(one.name for one in series)]))
    drawn = [(name, [one for one in series if one.name == name]) for name in names]
    return tuple(_chart(report, name, found, marks) for name, found in drawn if found)


def _chart(
    report: Report, name: str, series: Sequence[MetricSeries], marks: Sequence[ChartMark]
) -> Markup:
    title = _TITLES.get(name, f"Training loss: {name}")
    by_run = {one.run: one for one in series}
    return element(
        "section",
        element("h2", title),
        line_chart(
            [
                ChartLine(run, kind_of(run), by_run[run].steps, by_run[run].values)
                for run in in_report_order(by_run)
            ],
            title=title,
            x_label="optimizer step",
            references=_teacher_level(report, name),
            marks=marks,
            write=_write_percent if name == ACCURACY else _write_number,
        ),
    )


def _teacher_level(report: Report, name: str) -> tuple[ReferenceLine, ...]:
    teacher = report.columns.get("teacher")
    scores = teacher.splits.get("test") if teacher is not None else None
    if scores is None or name not in _HAS_TEACHER:
        return ()
    level = scores.accuracy if name == ACCURACY else scores.cross_entropy
    return (ReferenceLine("teacher", "teacher", level),)


def _write_percent(value: float) -> str:
    return f"{100 * value:.4g} %"


def _write_number(value: float) -> str:
    return axis_number(float(f"{value:.4g}"))
