"""The measured part of the page on recipes."""

from pathlib import Path

from recipes.description import Cell, Expectation
from recipes.pages.marked import BEGIN, END
from recipes.pages.overview import write_overview
from recipes.result import Comparison, Spread
from tests.recipes.results import result_of, train_group


def written(folder: Path) -> str:
    cell = Cell(step="alone", column="network")
    expectation = Expectation(
        what="alone", of=cell, measure="accuracy", published=0.75, at_least=0.7
    )
    reached = Comparison(expectation=expectation, measured=Spread.over([0.8, 0.9]), is_reached=True)
    not_run = Comparison(expectation=expectation, measured=None, is_reached=None)
    result = result_of(train_group("teacher", 0.95), train_group("alone", 0.8, 0.9), recipe="zoo")
    page = folder / "README.md"
    page.write_text(f"# Recipes\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    write_overview([result.model_copy(update={"comparisons": (reached, not_run)})], page)
    return page.read_text()


def test_measured_stands_beside_published_and_wanted(tmp_path: Path) -> None:
    page = written(tmp_path)

    assert "### `zoo`" in page
    assert "| alone | 75.00 % | 85.00 % (80.00 to 90.00) | 2 | ≥ 70.00 % | reached |" in page
    assert "| alone | 75.00 % |  | 0 | ≥ 70.00 % |  |" in page


def test_time_is_told_where_it_is_known(tmp_path: Path) -> None:
    assert "3 jobs, of which 2 took 0.0 hours together; 1 more did not finish" in written(tmp_path)


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    page = written(tmp_path)

    assert page.startswith("# Recipes\n\n")
    assert page.endswith("\n\nAfter.\n")
    assert "old" not in page
