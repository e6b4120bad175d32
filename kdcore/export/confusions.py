"""Which classes a network takes for which: the pairs it confuses most."""

from dataclasses import dataclass

from kdcore.report import SplitScores


@dataclass(frozen=True)
class Confusion:
    """How often images of one class are taken for another; labels count from 0."""

    label: int
    predicted: int
    num_examples: int
    share: float
    """Of the examples of the true class."""


def most_confused(scores: SplitScores, at_most: int) -> tuple[Confusion, ...]:
    """List the most frequent confusions, most frequent first; equal ones in label order."""
    found = [
        Confusion(label, predicted, number, number / sum(row))
        for label, row in enumerate(scores.confusion_matrix)
        for predicted, number in enumerate(row)
        if number and predicted != label
    ]
    return tuple(sorted(found, key=lambda one: -one.num_examples)[:at_most])


def class_name(names: tuple[str, ...], label: int) -> str:
    """Name a class; its number where it has no name."""
    return names[label] if names else str(label)


def shortened(text: str, length: int) -> str:
    """Cut text that is longer than `length`, with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
