"""The report as text: cells, differences, and one honest sentence."""

import pytest

from kdcore.evaluation import difference
from kdcore.export.report_rows import (
    NOTHING,
    ReportRow,
    columns,
    cost_rows,
    headline,
    latency_note,
    score_rows,
)
from kdcore.report import NetworkReport, Report


def _row(rows: tuple[ReportRow, ...], measure: str) -> ReportRow:
    (found,) = [row for row in rows if row.measure.startswith(measure)]
    return found


def _with_errors(report: Report, *, student: int, control: int) -> Report:
    """The same report with other error counts of 100."""

    def change(column: NetworkReport, errors: int) -> NetworkReport:
        scores = column.splits["test"].model_copy(
            update={"num_errors": errors, "accuracy": 1 - errors / 100}
        )
        return column.model_copy(update={"splits": {"test": scores}})

    changed = {
        **report.columns,
        "student": change(report.columns["student"], student),
        "control": change(report.columns["control"], control),
    }
    worth = difference(changed["student"], changed["control"])
    return report.model_copy(update={"columns": changed, "difference": worth})


def test_networks_stand_in_the_order_teacher_student_control(report: Report) -> None:
    assert columns(report) == ("teacher", "student", "control")


def test_difference_is_student_minus_control_and_says_whom_it_speaks_for(report: Report) -> None:
    rows = score_rows(report, "test")

    errors, accuracy = _row(rows, "Errors"), _row(rows, "Accuracy")
    assert errors.cells == ("4 of 100", "10 of 100", "20 of 100")
    assert (errors.difference, errors.is_better) == ("−10", True)
    assert (accuracy.difference, accuracy.is_better) == ("+10.00 points", True)


def test_worse_student_is_not_called_better(report: Report) -> None:
    rows = score_rows(_with_errors(report, student=21, control=20), "test")

    assert _row(rows, "Errors").is_better is False
    assert _row(rows, "Accuracy").is_better is False


def test_equal_networks_have_no_better_one(report: Report) -> None:
    row = _row(score_rows(_with_errors(report, student=20, control=20), "test"), "Errors")

    assert (row.difference, row.is_better) == ("0", None)


def test_teacher_is_not_compared_with_itself(report: Report) -> None:
    row = _row(score_rows(report, "test"), "Agrees")

    assert row.cells == (NOTHING, "90.00 %", "90.00 %")


def test_measures_that_no_network_has_are_left_out(report: Report) -> None:
    assert not [row for row in score_rows(report, "test") if row.measure.startswith("Top-5")]


def test_latency_has_a_row_for_each_batch_size(report: Report) -> None:
    row = _row(cost_rows(report), "Latency of a batch of 64")

    assert row.cells == ("8.00 (64.00) ms",) * 3
    assert "Some CPU" in latency_note(report)


def test_without_latency_nothing_is_said_of_it(report: Report) -> None:
    silent = {run: one.model_copy(update={"latency": ()}) for run, one in report.columns.items()}
    without = report.model_copy(update={"columns": silent})

    assert latency_note(without) == ""
    assert not [row for row in cost_rows(without) if "Latency" in row.measure]


@pytest.mark.parametrize(
    ("student", "control", "said"),
    [
        (10, 20, "50.0 % fewer"),
        (25, 20, "25.0 % more"),
        (20, 20, "no difference"),
        (3, 0, "3 more"),
    ],
)
def test_headline_says_what_the_teacher_was_worth(
    report: Report, student: int, control: int, said: str
) -> None:
    assert said in headline(_with_errors(report, student=student, control=control), "test")


def test_headline_without_control_claims_nothing_of_the_teacher(report: Report) -> None:
    alone = {run: one for run, one in report.columns.items() if run != "control"}

    text = headline(report.model_copy(update={"columns": alone, "difference": None}), "test")

    assert "without a teacher" not in text
    assert "10 errors" in text


def test_teacher_of_other_classes_has_no_scores(report: Report) -> None:
    teacher = report.columns["teacher"].model_copy(update={"splits": {}})
    changed = report.model_copy(update={"columns": {**report.columns, "teacher": teacher}})

    assert _row(score_rows(changed, "test"), "Errors").cells == (
        NOTHING,
        "10 of 100",
        "20 of 100",
    )
    assert NOTHING not in _row(cost_rows(changed), "Parameters").cells
