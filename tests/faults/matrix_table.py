"""The outcome of every fault at every phase, as a table for a terminal and one for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PROPERTY: Final = "fault"


@dataclass(frozen=True)
class Row:
    """How one fault at one phase went."""

    fault: str
    phase: str
    outcome: str
    seconds: float


def as_text(rows: Sequence[Row]) -> list[str]:
    """Write one aligned line a row, under a heading."""
    cells = [("fault", "phase", "outcome", "seconds")]
    cells += [(row.fault, row.phase, row.outcome, f"{row.seconds:.0f}") for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def as_markdown(rows: Sequence[Row], *, heading: str) -> str:
    """Write a page: for each fault its phases, how the job ended, and how long it took."""
    lines = [f"# {heading}", ""]
    lines += ["| fault | phase | job, and how its attempts ended | seconds |", "|---|---|---|---|"]
    lines += [f"| {row.fault} | {row.phase} | {row.outcome} | {row.seconds:.0f} |" for row in rows]
    return "\n".join([*lines, ""])
