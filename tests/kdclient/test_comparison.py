"""The report as a table: what is in it, in which order, and what is left out."""

import pytest

from kdclient.comparison import compare
from kdclient.errors import SplitNotReported
from kdcore.report import CalibrationReport
from tests.kdclient.reports import column, distill_report, train_report


def test_distillation_has_four_columns() -> None:
    assert compare(distill_report()).header == (
        "",
        "teacher",
        "student",
        "control",
        "difference",
    )


def test_every_measure_has_a_row() -> None:
    rows = {row[0]: row[1:] for row in compare(distill_report()).rows}
    assert rows == {
        "accuracy": ("98.00 %", "95.00 %", "91.00 %", "+4.00 points"),
        "errors": ("2", "5", "9", "-4"),
        "cross-entropy": ("0.0200", "0.0500", "0.0900", "-0.0400"),
        "calibration error (ECE)": ("0.0100", "0.0100", "0.0100", "+0.0000"),
        "parameters": ("50,042", "4,466", "4,466", "–"),
        "MFLOPs per image": ("0.125", "0.125", "0.125", "–"),
        "size": ("200.2 kB", "17.9 kB", "17.9 kB", "–"),
        "latency, batch 1": ("0.250 ms", "0.250 ms", "0.250 ms", "–"),
        "agreement with teacher": ("–", "97.00 %", "91.00 %", "+6.00 points"),
    }


def test_teacher_of_other_classes_has_costs_and_no_scores() -> None:
    report = distill_report()
    teacher = report.columns["teacher"].model_copy(update={"splits": {}})
    columns = {**report.columns, "teacher": teacher}
    rows = {row[0]: row for row in compare(report.model_copy(update={"columns": columns})).rows}
    assert rows["errors"] == ("errors", "–", "5", "9", "-4")
    assert rows["parameters"][1] == "50,042"


def test_without_a_control_there_is_no_difference() -> None:
    assert compare(distill_report(control=False)).header == ("", "teacher", "student")


def test_trained_network_has_one_column_and_no_empty_rows() -> None:
    table = compare(train_report())
    assert table.header == ("", "network")
    assert "latency, batch 1" not in [row[0] for row in table.rows]
    assert "agreement with teacher" not in [row[0] for row in table.rows]


def test_scores_before_a_calibration_have_rows_of_their_own() -> None:
    report = distill_report()
    before = {
        "student": {"test": column(num_errors=20).splits["test"]},
        "control": {"test": column(num_errors=30).splits["test"]},
    }
    calibration = CalibrationReport(
        rule="match_prior", offsets={"student": (0.0, 2.5), "control": (0.0, 9.0)}, before=before
    )
    rows = {
        row[0]: row[1:]
        for row in compare(report.model_copy(update={"calibration": calibration})).rows
    }
    assert rows["errors"] == ("2", "5", "9", "-4")
    assert rows["errors before calibration"] == ("–", "20", "30", "–")
    assert rows["accuracy before calibration"] == ("–", "80.00 %", "70.00 %", "–")


def test_unknown_split_is_said_with_those_that_are_known() -> None:
    with pytest.raises(SplitNotReported, match="it has test"):
        compare(distill_report(), split="train")


def test_markdown_has_a_line_for_each_row() -> None:
    lines = compare(distill_report()).as_markdown().splitlines()
    assert lines[0] == "|  | teacher | student | control | difference |"
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert lines[3] == "| errors | 2 | 5 | 9 | -4 |"
    assert len(lines) == 11
