"""The measured part of `recipes/README.md`: expected beside measured, for every experiment."""

from collections.abc import Sequence
from pathlib import Path

from kdcore.export.markdown import markdown_table
from recipes.pages.marked import write_between_marks
from recipes.pages.setting import beside_published, setting
from recipes.result import RecipeResult
from recipes.tables import VERDICTS, wanted_text

_SECONDS_PER_HOUR = 3600


def write_overview(results: Sequence[RecipeResult], page: Path) -> None:
    """Write a section for each result between the marks of `page`."""
    write_between_marks(page, "\n\n".join(map(_section, results)))


def _section(result: RecipeResult) -> str:
    rows = [
        [
            *beside_published(comparison),
            wanted_text(comparison.expectation),
            VERDICTS[comparison.is_reached],
        ]
        for comparison in result.comparisons
    ]
    head = ["", "published", "measured, mean (range)", "runs", "wanted", ""]
    table = markdown_table(head, rows)
    return "\n\n".join([f"### `{result.recipe}`", *setting(result), _spent(result), table])


def _spent(result: RecipeResult) -> str:
    """Tell how many jobs there are, how many are left, and what they took where it is known."""
    num_jobs = sum(len(group.seeds) for group in result.groups)
    timed = [group.seconds.values for group in result.groups if group.seconds is not None]
    num_timed = sum(map(len, timed))
    hours = sum(map(sum, timed)) / _SECONDS_PER_HOUR
    told = f"{num_jobs} jobs"
    if num_timed:
        told += f", of which {num_timed} took {hours:.1f} hours together"
    if result.failures:
        told += f"; {len(result.failures)} more did not finish or were not run"
    return f"{told}."
