"""The page on classes that a student has never seen."""

import xml.etree.ElementTree as ET
from pathlib import Path

from kdcore.report import SplitScores
from kdcore.spec import LogitKd
from recipes.description import Cell, Expectation
from recipes.pages.omitted import write_omitted
from recipes.result import Calibrated, Comparison, RecipeResult, Spread
from tests.recipes.results import distill_group, result_of


def scores(matrix: tuple[tuple[int, int], tuple[int, int]]) -> SplitScores:
    num_examples = sum(sum(row) for row in matrix)
    num_right = matrix[0][0] + matrix[1][1]
    return SplitScores(
        num_examples=num_examples,
        num_errors=num_examples - num_right,
        accuracy=num_right / num_examples,
        accuracy_top5=None,
        per_class_accuracy=(0.5, 0.5),
        confusion_matrix=matrix,
        cross_entropy=0.5,
        expected_calibration_error=0.1,
    )


def result() -> RecipeResult:
    group = distill_group("without_a", {"calibration": "match_prior"}, LogitKd(), 0.9)
    calibrated = Calibrated(
        offsets=(2.5, 0.0), before=scores(((1, 9), (0, 10))), after=scores(((8, 2), (1, 9)))
    )
    group = group.model_copy(update={"calibrated": {"student": calibrated}})
    cell = Cell(step="without_a", where={"calibration": "match_prior"}, column="student")
    expectation = Expectation(what="right a", of=cell, measure="accuracy", published=0.75)
    measured = Spread.over([0.8, 0.9])
    comparison = Comparison(expectation=expectation, measured=measured, is_reached=None)
    return result_of(group, recipe="omitted").model_copy(update={"comparisons": (comparison,)})


def test_page_sets_published_numbers_beside_measured_ones(tmp_path: Path) -> None:
    write_omitted([result()], tmp_path)

    page = (tmp_path / "omitted_classes.md").read_text()
    assert "| right a | 75.00 % | 85.00 % (80.00 to 90.00) |" in page
    assert "9 errors before, 3 after; offsets a +2.50." in page


def test_confusions_before_and_after_are_pictures_of_their_own(tmp_path: Path) -> None:
    write_omitted([result()], tmp_path)

    page = (tmp_path / "omitted_classes.md").read_text()
    for when, number in (("before", "9"), ("after", "2")):
        picture = tmp_path / "images" / f"omitted_without_a_match_prior_student_{when}.svg"
        root = ET.fromstring(picture.read_text())  # noqa: S314  # written a line above
        assert number in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert f"images/{picture.name}" in page
