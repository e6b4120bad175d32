"""The part of `report.html` that shows a calibration: numbers and pictures, before and after."""

from kdcore.export.calibration_table import (
    calibrated_runs,
    calibration_note,
    calibration_table,
)
from kdcore.export.heat_map import MAX_CLASSES, confusion_heat_map
from kdcore.export.markup import Markup, element, join
from kdcore.export.report_tables import text_table
from kdcore.report import CalibrationReport, Report, Run, SplitScores


def calibration_sections(report: Report, split: str) -> Markup:
    """Show one split before and after; nothing where class biases were left alone."""
    calibration = report.calibration
    if calibration is None:
        return join()
    table = calibration_table(report, calibration, split)
    numbers = element(
        "section",
        element("h2", "Calibration of class biases"),
        text_table(table.heads, table.rows),
        element("p", calibration_note(calibration), class_="note"),
    )
    runs = calibrated_runs(report)
    if any(len(calibration.offsets[run]) > MAX_CLASSES for run in runs):
        return numbers
    return join(numbers, *(_pictures(report, calibration, run, split) for run in runs))


def _pictures(report: Report, calibration: CalibrationReport, run: Run, split: str) -> Markup:
    before, after = calibration.before[run][split], report.columns[run].splits[split]
    return element(
        "div",
        _picture(
            report, before, f"What the {run} takes for what before calibration, {split} split"
        ),
        _picture(report, after, f"And after calibration, {split} split"),
        class_="pair",
    )


def _picture(report: Report, scores: SplitScores, what: str) -> Markup:
    picture = confusion_heat_map(scores, report.class_names, title=what)
    return element("section", element("h2", what), picture)
