"""Other people's text inside Markdown, without letting it become markup."""

import html
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")
_TICKS = re.compile("`+")


def markdown_text(text: str) -> str:
    """Make text that any Markdown reader shows as it is, on one line, inside tables too."""
    one_line = _CONTROL.sub(" ", text)
    return _SPECIAL.sub(r"\\\1", html.escape(one_line, quote=False))


def code_block(text: str, *, language: str) -> str:
    """Fence text with more backticks than it holds anywhere."""
    longest = max((len(ticks) for ticks in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """Make a table, numbers to the right; the cells are Markdown already."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
