"""The page on methods that train in two stages."""

import xml.etree.ElementTree as ET
from pathlib import Path

from kdcore.spec import Fsp
from recipes.curves import Curve
from recipes.pages.fsp import accuracies_on_labels, write_fsp
from recipes.result import Group
from tests.recipes.results import distill_group, result_of

STAGE_STEPS = 20


def group() -> Group:
    curves = []
    for seed in (0, 1):
        curves += [
            Curve(
                seed=seed, run="student", metric="fsp", steps=(10, STAGE_STEPS), values=(8.0, 4.0)
            ),
            Curve(
                seed=seed,
                run="student",
                metric="test_accuracy",
                steps=(STAGE_STEPS + 5, STAGE_STEPS + 10),
                values=(0.5 + 0.1 * seed, 0.9),
            ),
            Curve(
                seed=seed,
                run="control",
                metric="test_accuracy",
                steps=(5, 10, STAGE_STEPS + 10),
                values=(0.2, 0.7, 0.95),
            ),
        ]
    taught = distill_group("student", {}, Fsp(), 0.9, 0.9)
    return taught.model_copy(update={"curves": tuple(curves)})


def written(docs: Path) -> str:
    write_fsp([result_of(group(), recipe="two_stages")], docs)
    return (docs / "fsp.md").read_text()


def test_student_steps_are_counted_from_the_end_of_its_first_stage() -> None:
    found = accuracies_on_labels(group())

    assert found["student"][1] == {5: 0.6, 10: 0.9}
    assert found["control"][1] == {5: 0.2, 10: 0.7, STAGE_STEPS + 10: 0.95}


def test_table_compares_after_as_many_steps_on_labels(tmp_path: Path) -> None:
    rows = [line for line in written(tmp_path).splitlines() if line.startswith("| ")]

    assert rows[-3].startswith("| --- |")
    assert rows[-2:] == [
        "| 5 | 55.00 % (50.00 to 60.00) | 20.00 % (20.00 to 20.00) | +35.00 points |",
        "| 10 | 90.00 % (90.00 to 90.00) | 70.00 % (70.00 to 70.00) | +20.00 points |",
    ]


def test_page_tells_whether_the_first_stage_lowered_its_loss(tmp_path: Path) -> None:
    assert "goes from 8 (8 to 8) at the first reading to 4 (4 to 4)" in written(tmp_path)
    assert "it ends lower with 2 of 2 seeds" in written(tmp_path)


def test_curves_are_pictures_that_stand_alone(tmp_path: Path) -> None:
    page = written(tmp_path)

    for name in ("two_stages_student_fsp.svg", "two_stages_student_accuracy.svg"):
        root = ET.fromstring((tmp_path / "images" / name).read_text())  # noqa: S314  # just written
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert f"images/{name}" in page
