"""Names of classes, as a report's tables and pictures show them."""


def class_name(names: tuple[str, ...], label: int) -> str:
    """Name a class; its number where it has no name."""
    return names[label] if names else str(label)


def shortened(text: str, length: int) -> str:
    """Cut text that is longer than `length`, with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
