"""A confusion matrix as SVG."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from kdcore.evaluation import score
from kdcore.export.heat_map import confusion_heat_map
from kdcore.report import SplitScores


def _scores(matrix: list[list[int]]) -> SplitScores:
    """Score logits that were made to give this confusion matrix."""
    pairs = [
        (label, predicted)
        for label, row in enumerate(matrix)
        for predicted, number in enumerate(row)
        for _ in range(number)
    ]
    labels_N, predictions_N = torch.tensor(pairs).T
    return score(torch.eye(len(matrix))[predictions_N], labels_N)


def _draw(matrix: list[list[int]], names: tuple[str, ...] = ()) -> ET.Element:
    picture = confusion_heat_map(_scores(matrix), names, title="Confusions")
    return ET.fromstring(picture)  # noqa: S314  # made by us a line above


def _cells(picture: ET.Element) -> dict[str, float]:
    found = [(rect.findtext("title"), rect.get("fill-opacity")) for rect in picture.iter("rect")]
    return {title: float(opacity or 0) for title, opacity in found if title is not None}


def test_every_cell_with_examples_is_drawn_and_told() -> None:
    cells = _cells(_draw([[8, 2], [0, 10]], ("cat", "dog")))

    assert list(cells) == [
        "cat: 8 recognised (80.0 %)",
        "cat: 2 taken for dog (20.0 %)",
        "dog: 10 recognised (100.0 %)",
    ]


def test_more_frequent_confusions_are_darker() -> None:
    cells = _cells(_draw([[90, 9, 1], [0, 100, 0], [0, 0, 100]]))

    assert cells["0: 9 taken for 1 (9.0 %)"] > cells["0: 1 taken for 2 (1.0 %)"]


def test_network_without_errors_has_only_a_diagonal() -> None:
    assert len(_cells(_draw([[3, 0], [0, 4]]))) == 2


def test_class_without_examples_is_an_empty_row() -> None:
    assert len(_cells(_draw([[3, 1], [0, 0]]))) == 2


def test_names_of_classes_stay_text() -> None:
    picture = _draw([[1, 1], [1, 1]], ("<script>alert(1)</script>", '"><b>'))

    assert not list(picture.iter("script"))
    assert not list(picture.iter("b"))
    assert any(text.text == '"><b>' for text in picture.iter("text"))


@pytest.mark.parametrize(
    ("num_classes", "has_numbers", "has_names"),
    [(16, True, True), (17, False, True), (41, False, False)],
)
def test_what_would_be_too_small_to_read_is_left_out(
    num_classes: int, has_numbers: bool, has_names: bool
) -> None:
    picture = _draw(np.eye(num_classes, dtype=int).tolist())

    texts = list(picture.iter("text"))
    numbers = [t for t in texts if "number" in t.get("class", "").split()]
    assert bool(numbers) is has_numbers
    assert (len(texts) - len(numbers) == 2 * num_classes) is has_names
