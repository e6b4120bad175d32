"""The measured part of the page on temperatures."""

import xml.etree.ElementTree as ET
from pathlib import Path

from kdcore.spec import LogitKd
from recipes.pages.marked import BEGIN, END
from recipes.pages.temperature import write_temperatures
from tests.recipes.results import distill_group, result_of, train_group

RESULT = result_of(
    train_group("teacher", 0.99),
    distill_group("student_30", {"temperature": "4"}, LogitKd(), 0.96, 0.98),
    distill_group("student_30", {"temperature": "1"}, LogitKd(), 0.95, 0.95),
    distill_group("student_8", {"temperature": "4"}, LogitKd(), 0.90),
)


def written(docs: Path) -> str:
    page = docs / "choosing_temperature.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    write_temperatures(RESULT, docs)
    return page.read_text()


def test_only_what_lies_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = written(tmp_path)
    write_temperatures(RESULT, tmp_path)

    assert page.startswith(f"# Before\n\n{BEGIN}")
    assert page.endswith(f"{END}\n\nAfter.\n")
    assert "old" not in page
    assert (tmp_path / "choosing_temperature.md").read_text() == page


def test_table_has_a_row_a_temperature_and_a_column_a_width(tmp_path: Path) -> None:
    rows = [line for line in written(tmp_path).splitlines() if line.startswith("| ")]

    assert rows[0] == "| T | 8 units | 30 units |"
    assert rows[2:] == [
        "| 1 | – | 500.0 (500 to 500) |",
        "| 4 | 1000.0 (1000 to 1000) | 300.0 (200 to 400) |",
    ]


def test_pictures_stand_alone(tmp_path: Path) -> None:
    page = written(tmp_path)

    for units in (8, 30):
        picture = tmp_path / "images" / f"mnist_temperature_{units}.svg"
        root = ET.fromstring(picture.read_text())  # noqa: S314  # written a line above
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert f"images/{picture.name}" in page
