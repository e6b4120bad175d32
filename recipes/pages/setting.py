"""What every page says of a result before its numbers, and the published numbers beside ours."""

from kdcore.export.markdown import markdown_table
from recipes.result import Comparison, RecipeResult
from recipes.tables import expectation_text, spread_text

MADE = "Made by `python -m recipes.pages` from `benchmarks/results/`."


def setting(result: RecipeResult) -> list[str]:
    """Write how the result was made: command, date, scale, hardware, and its notes."""
    command = f"`make recipe NAME={result.recipe}`"
    devices = ", ".join(sorted({device for group in result.groups for device in group.devices}))
    told = (
        f"{result.source}. {command}, {result.date}, on {devices}, {result.num_workers} at a time "
        f"with {result.machine['num_threads']} CPU thread(s) each; scale `{result.scale}`: "
        f"{result.scale_summary}."
    )
    return [told, *(["\n".join(f"- {note}" for note in result.notes)] if result.notes else [])]


def comparison_table(result: RecipeResult) -> str:
    """Set published numbers beside measured ones, for what was measured."""
    rows = [
        beside_published(comparison) for comparison in result.comparisons if comparison.measured
    ]
    return markdown_table(["", "published", "measured, mean (range)", "runs"], rows)


def beside_published(comparison: Comparison) -> list[str]:
    """Write what is compared, the published number, the measured one, and over how many runs."""
    expected, measured = comparison.expectation, comparison.measured
    percent = expected.measure == "accuracy"
    published = expectation_text(expected.published, percent=percent)
    shown = "" if measured is None else spread_text(measured, percent=percent)
    if expected.minus is not None:
        published, shown = published.replace("%", "points"), shown.replace("%", "points")
    return [expected.what, published, shown, str(0 if measured is None else len(measured.values))]
