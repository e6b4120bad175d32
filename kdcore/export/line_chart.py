"""Curves as an SVG picture that needs no script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdcore.export.axis import Axis, value_axis
from kdcore.export.markup import Markup, element, join
from kdcore.export.number_text import axis_number
from kdcore.export.thinning import thin

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 40
_MAX_POINTS = 300
# In the beginning a curve shoots up or down; this share of its points does not set the range.
_STEEP_SHARE = 0.05


@dataclass(frozen=True)
class ChartLine:
    """A curve. `kind` is its CSS class, which gives the colour: a run's kind."""

    label: str
    kind: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True)
class ReferenceLine:
    """A level to compare with, drawn from side to side."""

    label: str
    kind: str
    y: float


@dataclass(frozen=True)
class ChartMark:
    """A place on the horizontal axis, drawn from top to bottom, where something begins."""

    label: str
    x: float


def line_chart(
    lines: Sequence[ChartLine],
    *,
    title: str,
    x_label: str,
    x_from: float | None = None,
    references: Sequence[ReferenceLine] = (),
    marks: Sequence[ChartMark] = (),
    write: Callable[[float], str] = axis_number,
) -> Markup:
    """Draw curves over one another, with axes and a legend that tells where each one ends.

    Points that are not finite are left out. The first steep values of a curve may lie outside
    the picture, so that its end can be read; the legend's numbers are exact.

    Args:
        lines: What to draw.
        title: For those who cannot see the picture.
        x_label: Under the horizontal axis.
        x_from: Where that axis begins, if not later than the first point; None: at that point.
        references: Levels to draw beside the curves.
        marks: Places to mark; those that no curve reaches are left out.
        write: Writes a value, at the vertical axis and in the legend.
    """
    drawn = [line for line in map(_finite, lines) if line.ys]
    if not drawn:
        return element("p", "No point was recorded.", class_="note")
    xs = [x for line in drawn for x in line.xs]
    left, right = min(xs if x_from is None else [x_from, *xs]), max(xs)
    x_axis = Axis(left, max(right, left + 1), _LEFT, _WIDTH - _RIGHT)
    settled = [y for line in drawn for y in line.ys[int(_STEEP_SHARE * len(line.ys)) :]]
    levels = [one.y for one in references]
    y_axis = value_axis([*settled, *levels], start=_HEIGHT - _BOTTOM, end=_TOP)
    # The inner svg cuts off what lies outside; coordinates stay those of the picture.
    inside = {"x": _LEFT, "y": _TOP, "width": _WIDTH - _LEFT - _RIGHT}
    inside["height"] = _HEIGHT - _TOP - _BOTTOM
    view = " ".join(str(value) for value in inside.values())
    picture = element(
        "svg",
        _grid(x_axis, y_axis, x_label=x_label, write=write),
        element(
            "svg",
            *(_mark(one, x_axis) for one in marks if left < one.x < right),
            *(_reference(one, y_axis) for one in references),
            *(_curve(line, x_axis, y_axis) for line in drawn),
            viewBox=view,
            **inside,
        ),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=title,
        class_="chart",
    )
    return join(picture, _legend(drawn, references, write))


def _finite(line: ChartLine) -> ChartLine:
    points = [(x, y) for x, y in zip(line.xs, line.ys, strict=True) if math.isfinite(y)]
    return ChartLine(line.label, line.kind, [x for x, _ in points], [y for _, y in points])


def _grid(x_axis: Axis, y_axis: Axis, *, x_label: str, write: Callable[[float], str]) -> Markup:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = [(y_axis.place(value), write(value)) for value in y_axis.ticks(6)]
    marks = [(x_axis.place(value), axis_number(value)) for value in x_axis.ticks(7)]
    return join(
        *(element("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid") for y, _ in lines),
        *(_tick(text, x=_LEFT - 8, y=y + 4, anchor="end") for y, text in lines),
        *(_tick(text, x=x, y=bottom + 18, anchor="middle") for x, text in marks),
        _tick(x_label, x=(_LEFT + right) / 2, y=_HEIGHT - 4, anchor="middle"),
    )


def _tick(text: str, *, x: float, y: float, anchor: str) -> Markup:
    return element("text", text, x=x, y=y, class_="tick", text_anchor=anchor)


def _curve(line: ChartLine, x_axis: Axis, y_axis: Axis) -> Markup:
    points = thin(list(zip(line.xs, line.ys, strict=True)), _MAX_POINTS)
    places = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in points)
    if len(points) == 1:
        ((x, y),) = points
        return element(
            "circle", cx=x_axis.place(x), cy=y_axis.place(y), r=4, class_=f"dot {line.kind}"
        )
    return element("polyline", points=places, class_=f"curve {line.kind}")


def _mark(one: ChartMark, x_axis: Axis) -> Markup:
    x = x_axis.place(one.x)
    return join(
        element("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="grid mark"),
        _tick(one.label, x=x + 5, y=_TOP + 12, anchor="start"),
    )


def _reference(one: ReferenceLine, y_axis: Axis) -> Markup:
    y = y_axis.place(one.y)
    return element(
        "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_=f"curve level {one.kind}"
    )


def _legend(
    lines: Sequence[ChartLine],
    references: Sequence[ReferenceLine],
    write: Callable[[float], str],
) -> Markup:
    entries = [(line.label, line.kind, line.ys[-1]) for line in lines]
    entries += [(one.label, f"level {one.kind}", one.y) for one in references]
    return element(
        "p",
        *(
            element(
                "span",
                element("i", class_=f"key {kind}"),
                f"{label} ",
                element("b", write(y)),
                " ",
            )
            for label, kind, y in entries
        ),
        class_="legend",
    )
