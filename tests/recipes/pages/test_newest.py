"""Which result the pages show."""

from pathlib import Path

from recipes.pages.newest import newest_result
from tests.recipes.results import result_of, train_group

GROUP = train_group("alone", 0.5)


def test_full_scale_goes_before_a_smaller_one(tmp_path: Path) -> None:
    small = result_of(GROUP, scale="cpu")
    full = result_of(GROUP).model_copy(update={"date": small.date.replace(year=2020)})
    (tmp_path / "zoo_cpu_2026.json").write_text(small.model_dump_json())
    assert newest_result(tmp_path, "zoo") == small
    (tmp_path / "zoo_2020.json").write_text(full.model_dump_json())
    assert newest_result(tmp_path, "zoo") == full


def test_results_of_other_experiments_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "zoo_of_another.json").write_text(result_of(GROUP, recipe="z").model_dump_json())
    (tmp_path / "zoo_latency.json").write_text("{}")
    assert newest_result(tmp_path, "zoo") is None
