"""How a rejection writes a stranger's text: printable and short."""

_MAX_LENGTH = 120


def shown(text: str) -> str:
    """Make `text` safe to print in a message: no control characters, at most 120 characters."""
    printable = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in text[: _MAX_LENGTH + 1]
    )
    return printable if len(text) <= _MAX_LENGTH else f"{printable[: _MAX_LENGTH - 1]}…"
