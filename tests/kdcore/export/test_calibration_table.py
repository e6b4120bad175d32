"""What a calibration changed, as tables and pictures of before and after."""

from pathlib import Path

import pytest

from kdcore.export import render_report, write_model_card
from kdcore.export.calibration_table import calibrated_runs, calibration_table
from kdcore.report import CalibrationReport, Report, SplitScores
from kdcore.spec import DistillJob, NetworkDescription


@pytest.fixture
def calibration(report: Report) -> CalibrationReport:
    """The second class was shifted; before, the student took half of it for the first."""
    after = report.columns["student"].splits["test"]
    before: SplitScores = after.model_copy(
        update={
            "num_errors": 27,
            "accuracy": 0.73,
            "per_class_accuracy": (0.96, 0.5),
            "confusion_matrix": ((48, 2), (25, 25)),
        }
    )
    return CalibrationReport(
        rule="match_prior",
        offsets={"student": (0.0, 3.25), "control": (0.0, -1.5)},
        before={
            "student": {"test": before},
            "control": {"test": report.columns["control"].splits["test"]},
        },
    )


@pytest.fixture
def calibrated(report: Report, calibration: CalibrationReport) -> Report:
    return report.model_copy(update={"calibration": calibration})


def test_before_and_after_stand_side_by_side(
    calibrated: Report, calibration: CalibrationReport, hostile: str
) -> None:
    table = calibration_table(calibrated, calibration, "test")

    assert table.heads == (
        "On the test split",
        "student before",
        "student after",
        "control before",
        "control after",
    )
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Errors"] == ("27", "10", "20", "20")
    assert rows["Accuracy"] == ("73.00 %", "90.00 %", "80.00 %", "80.00 %")
    assert rows[f"Accuracy on {hostile}"] == ("50.00 %", "84.00 %", "80.00 %", "80.00 %")
    assert rows[f"Offset of {hostile}"] == ("–", "+3.250", "–", "−1.500")
    assert "Offset of cat" not in rows


def test_of_many_classes_those_shifted_most_are_shown(
    calibrated: Report, calibration: CalibrationReport
) -> None:
    many = 40
    scores = calibrated.columns["student"].splits["test"]
    wide = scores.model_copy(update={"per_class_accuracy": (None,) * many})
    column = calibrated.columns["student"].model_copy(update={"splits": {"test": wide}})
    shifted = calibration.model_copy(
        update={
            "offsets": {"student": tuple(float(label) for label in range(many))},
            "before": {"student": {"test": wide}},
        }
    )
    report = calibrated.model_copy(
        update={"columns": {"student": column}, "class_names": (), "calibration": shifted}
    )

    rows = {row[0]: row[1:] for row in calibration_table(report, shifted, "test").rows}

    assert [name for name in rows if name.startswith("Offset")] == [
        f"Offset of class {label}" for label in range(28, 40)
    ]
    assert rows["Accuracy on class 39"] == ("–", "–")


def test_page_has_a_picture_of_every_network_before_and_after(
    calibrated: Report, distill_job: DistillJob
) -> None:
    page = render_report(calibrated, spec=distill_job)

    assert page.count('class="heat"') == 4
    assert "before calibration" in page
    assert "no label of an image and no image of the test split" in page


def test_page_without_a_calibration_says_nothing_of_one(
    report: Report, distill_job: DistillJob
) -> None:
    assert calibrated_runs(report) == ()
    assert "alibration of class biases" not in render_report(report, spec=distill_job)


def test_picture_of_too_many_classes_is_left_out(
    calibrated: Report, calibration: CalibrationReport, distill_job: DistillJob
) -> None:
    many = 101
    scores = calibrated.columns["student"].splits["test"]
    matrix = tuple(tuple(int(i == j) for j in range(many)) for i in range(many))
    wide = scores.model_copy(
        update={
            "confusion_matrix": matrix,
            "per_class_accuracy": (1.0,) * many,
            "per_class_num_examples": (1,) * many,
            "most_confused": (),
        }
    )
    column = calibrated.columns["student"].model_copy(update={"splits": {"test": wide}})
    shifted = calibration.model_copy(
        update={"offsets": {"student": (1.0,) * many}, "before": {"student": {"test": wide}}}
    )
    report = calibrated.model_copy(
        update={
            "columns": {"student": column},
            "difference": None,
            "class_names": (),
            "calibration": shifted,
        }
    )

    page = render_report(report, spec=distill_job)

    assert 'class="heat"' not in page
    assert "Calibration of class biases" in page


def test_card_tells_it_without_letting_names_become_markup(
    calibrated: Report,
    distill_job: DistillJob,
    mlp: NetworkDescription,
    tmp_path: Path,
    hostile: str,
) -> None:
    path = write_model_card(
        tmp_path / "model_card.md", calibrated, spec=distill_job, description=mlp
    )

    prose = path.read_text(encoding="utf-8").rpartition("```json")[0]
    assert "## Calibration of class biases" in prose
    assert "| Errors | 27 | 10 | 20 | 20 |" in prose
    assert hostile not in prose
