"""Tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kdclient.comparison import compare
from kdcore.report import Report

_PIPED_WIDTH = 10_000  # rich would cut lines to 80 columns where there is no terminal


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows on a terminal as a table, elsewhere with tabs between, for other programs."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        # Text and not markup: names are what somebody typed.
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_comparison(report: Report, *, split: str = "test") -> None:
    """Print teacher, student, control and the difference, a row for each measure."""
    comparison = compare(report, split=split)
    console = Console()
    table = Table(title=comparison.title, title_justify="left")
    for index, name in enumerate(comparison.header):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in comparison.rows:
        table.add_row(*row)
    console.print(table, width=None if console.is_terminal else _PIPED_WIDTH)
