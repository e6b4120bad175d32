"""The result of an experiment as a table to read in a terminal."""

from collections.abc import Sequence

from recipes.description import Expectation
from recipes.result import Comparison, Group, RecipeResult, Spread

VERDICTS = {True: "reached", False: "NOT reached", None: ""}


def result_table(result: RecipeResult) -> str:
    """Write the expected numbers beside the measured ones, every group, and what failed."""
    lines = [f"{result.title} ({result.source})", f"scale {result.scale}: {result.scale_summary}"]
    lines += ["", *columns([["", "published", "wanted", "measured", ""], *_compared(result)])]
    lines += ["", *columns([["", "column", "errors", "accuracy", "seeds"], *_groups(result)])]
    lines += [f"FAILED {f.job}: {f.message}" for f in result.failures]
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align cells under one another: the first column to the left, the others to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def spread_text(spread: Spread, *, percent: bool) -> str:
    """Write mean and range: `86.0 (83 to 88)`, or `91.9 % (91.8 to 92.1)`."""
    if percent:
        mean, low, high = (100 * value for value in (spread.mean, spread.lowest, spread.highest))
        return f"{mean:.2f} %" + (f" ({low:.2f} to {high:.2f})" if len(spread.values) > 1 else "")
    return f"{spread.mean:.1f}" + (
        f" ({spread.lowest:g} to {spread.highest:g})" if len(spread.values) > 1 else ""
    )


def group_name(group: Group) -> str:
    """Name a group by its step and its point on each axis."""
    return " ".join([group.step, *(f"{axis}={label}" for axis, label in group.point.items())])


def _compared(result: RecipeResult) -> list[list[str]]:
    return [_comparison_row(comparison) for comparison in result.comparisons]


def _comparison_row(comparison: Comparison) -> list[str]:
    expected = comparison.expectation
    percent = expected.measure == "accuracy"
    measured = comparison.measured
    return [
        expected.what,
        expectation_text(expected.published, percent=percent),
        wanted_text(expected),
        "not run" if measured is None else spread_text(measured, percent=percent),
        VERDICTS[comparison.is_reached],
    ]


def expectation_text(value: float | None, *, percent: bool) -> str:
    """Write a number that a source gives; nothing where it gives none."""
    return "" if value is None else _number(value, percent=percent)


def wanted_text(expected: Expectation) -> str:
    """Write the bounds within which a mean counts as reached; nothing where there are none."""
    percent = expected.measure == "accuracy"
    bounds = (("≥", expected.at_least), ("≤", expected.at_most))
    return " ".join(
        f"{sign} {_number(bound, percent=percent)}" for sign, bound in bounds if bound is not None
    )


def _number(value: float, *, percent: bool) -> str:
    return f"{100 * value:.2f} %" if percent else f"{value:g}"


def _groups(result: RecipeResult) -> list[list[str]]:
    return [
        [
            group_name(group),
            column,
            spread_text(measures["num_errors"], percent=False),
            spread_text(measures["accuracy"], percent=True),
            str(len(group.seeds)),
        ]
        for group in result.groups
        for column, measures in group.columns.items()
    ]
