"""A confusion matrix as an SVG picture."""

import math

from kdcore.export.class_names import class_name, shortened
from kdcore.export.markup import Markup, element, join
from kdcore.report import SplitScores

MAX_CLASSES = 100
"""With more classes a cell would be too small to see."""
_MAX_NUMBERED, _MAX_NAMED = 16, 40
_SIDE = 480
_LABEL_LENGTH = 14
_LETTER_WIDTH = 7


def confusion_heat_map(scores: SplitScores, class_names: tuple[str, ...], *, title: str) -> Markup:
    """Draw rows for true classes, columns for predictions; at most `MAX_CLASSES` of them.

    The diagonal is shaded by the share of the class that is right. Other cells are shaded by
    their share of the class on a scale of their own, by square root, so that rare confusions are
    seen too. Cells without examples are not drawn.

    Raises:
        ValueError: there are so many classes that they have no confusion matrix.
    """
    matrix = scores.confusion_matrix
    if matrix is None:
        raise ValueError(f"More than {MAX_CLASSES} classes have no picture.")
    cell = _SIDE / len(matrix)
    shares = [[number / sum(row) if number else 0.0 for number in row] for row in matrix]
    worst = max(
        (share for i, row in enumerate(shares) for j, share in enumerate(row) if i != j),
        default=0.0,
    )
    names = [class_name(class_names, label) for label in range(len(matrix))]
    cells = [
        _cell(i, j, cell=cell, number=number, share=shares[i][j], worst=worst, names=names)
        for i, row in enumerate(matrix)
        for j, number in enumerate(row)
        if number
    ]
    longest = max(len(shortened(name, _LABEL_LENGTH)) for name in names)
    room = 14 + (_LETTER_WIDTH * longest if len(matrix) <= _MAX_NAMED else 8)
    total = _SIDE + room
    frame = element("rect", x=0, y=0, width=_SIDE, height=_SIDE, class_="frame")
    return element(
        "svg",
        element("g", frame, *cells, transform=f"translate({room},{room})"),
        _axis_names(names, cell=cell, room=room),
        viewBox=f"0 0 {total} {total}",
        role="img",
        aria_label=title,
        class_="heat",
    )


def _cell(
    i: int, j: int, *, cell: float, number: int, share: float, worst: float, names: list[str]
) -> Markup:
    is_right = i == j
    opacity = max(0.06, 0.85 * (share if is_right else math.sqrt(share / worst)))
    verb = "recognised" if is_right else f"taken for {names[j]}"
    square = element(
        "rect",
        element("title", f"{names[i]}: {number} {verb} ({100 * share:.1f} %)"),
        x=j * cell,
        y=i * cell,
        width=cell,
        height=cell,
        class_="right" if is_right else "wrong",
        fill_opacity=opacity,
    )
    if len(names) > _MAX_NUMBERED:
        return square
    kind = "number strong" if opacity > 0.5 else "number"
    middle = {"x": (j + 0.5) * cell, "y": (i + 0.5) * cell + 4}
    return join(square, element("text", str(number), class_=kind, text_anchor="middle", **middle))


def _axis_names(names: list[str], *, cell: float, room: float) -> Markup:
    if len(names) > _MAX_NAMED:
        return join(
            element("text", "predicted class", x=room, y=14, class_="tick"),
            element(
                "text", "true class", transform=f"translate(14,{room}) rotate(90)", class_="tick"
            ),
        )
    parts = []
    for index, name in enumerate(names):
        middle = room + (index + 0.5) * cell
        text = shortened(name, _LABEL_LENGTH)
        parts += [
            element("text", text, x=room - 6, y=middle + 4, class_="tick", text_anchor="end"),
            element(
                "text",
                text,
                transform=f"translate({middle + 4:.1f},{room - 6}) rotate(-90)",
                class_="tick",
            ),
        ]
    return join(*parts)
