"""The charts of `report.html`: one for each metric, all runs over one another."""

from collections.abc import Sequence

from kdcore.export.line_chart import ChartLine, ChartMark, ReferenceLine, line_chart
from kdcore.export.markup import Markup, element
from kdcore.export.number_text import axis_number
from kdcore.export.report_rows import main_run
from kdcore.export.series import MetricSeries
from kdcore.report import Report, StageReport, in_report_order, kind_of

ACCURACY, CROSS_ENTROPY, LOSS = "test_accuracy", "test_cross_entropy", "loss"
_TITLES = {
    ACCURACY: "Accuracy on the test split",
    CROSS_ENTROPY: "Cross-entropy on the test split, nats",
    LOSS: "Training loss",
    "cross_entropy": "Training loss: cross-entropy with the labels, nats",
}
_HAS_TEACHER = (ACCURACY, CROSS_ENTROPY)


def metric_charts(report: Report, series: Sequence[MetricSeries]) -> tuple[Markup, ...]:
    """Draw every metric; those on the test split first, with the teacher's level beside them.

    Of several stages each one after the first is marked where it begins, and each has a chart of
    its own for the loss, which is of another kind in each. A term that is all of the loss is not
    drawn a second time.
    """
    stages = report.stages.get(main_run(report), ())
    marks = [ChartMark(stage.name, stage.first_step) for stage in stages[1:]]
    names = list(dict.fromkeys([*_TITLES, *(one.name for one in series)]))
    charts: list[Markup] = []
    for name in names:
        drawn = [one for one in series if one.name == name]
        if name == LOSS and len(stages) > 1:
            charts += [_stage_chart(report, stage, drawn) for stage in stages]
        elif drawn and not _is_all_of_the_loss(drawn, series):
            title = _TITLES.get(name, f"Training loss: {name}")
            charts.append(_chart(report, name, drawn, title=title, marks=marks))
    return tuple(charts)


def _stage_chart(report: Report, stage: StageReport, losses: Sequence[MetricSeries]) -> Markup:
    """Draw the loss of one stage, of all runs that have a stage of that name."""
    drawn = [
        _within(one, own)
        for one in losses
        for own in report.stages.get(one.run, ())
        if own.name == stage.name
    ]
    title = f"{_TITLES[LOSS]} in stage {stage.name}"
    return _chart(report, LOSS, drawn, title=title, first_step=stage.first_step)


def _within(series: MetricSeries, stage: StageReport) -> MetricSeries:
    """Keep the readings of a stage; that at its last step still belongs to it."""
    first, end = stage.first_step, stage.first_step + stage.num_steps
    points = zip(series.steps, series.values, strict=True)
    kept = [(step, value) for step, value in points if first < step <= end]
    return MetricSeries(
        series.run, series.name, tuple(step for step, _ in kept), tuple(value for _, value in kept)
    )


def _is_all_of_the_loss(term: Sequence[MetricSeries], series: Sequence[MetricSeries]) -> bool:
    """Whether the loss had, wherever this term was read, the very same values."""
    losses = {
        (one.run, step): value
        for one in series
        if one.name == LOSS
        for step, value in zip(one.steps, one.values, strict=True)
    }
    return term[0].name != LOSS and all(
        losses.get((one.run, step)) == value
        for one in term
        for step, value in zip(one.steps, one.values, strict=True)
    )


def _chart(
    report: Report,
    name: str,
    series: Sequence[MetricSeries],
    *,
    title: str,
    marks: Sequence[ChartMark] = (),
    first_step: int = 0,
) -> Markup:
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
            x_from=first_step,
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
