"""Curves as SVG."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from kdcore.export.line_chart import ChartLine, ReferenceLine, line_chart


def _draw(*lines: ChartLine, references: Sequence[ReferenceLine] = ()) -> ET.Element:
    chart = line_chart(lines, title="A chart", x_label="step", references=references)
    return ET.fromstring(f"<div>{chart}</div>")  # noqa: S314  # made by us a line above


def _places(chart: ET.Element, kind: str) -> list[tuple[float, float]]:
    (curve,) = [e for e in chart.iter("polyline") if kind in e.get("class", "").split()]
    pairs = [place.split(",") for place in curve.get("points", "").split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_every_run_has_a_curve_of_its_own_that_goes_where_its_values_go() -> None:
    chart = _draw(
        ChartLine("student", "student", [0, 10, 20], [0.1, 0.5, 0.9]),
        ChartLine("control", "control", [0, 10, 20], [0.8, 0.5, 0.2]),
    )

    rising, falling = _places(chart, "student"), _places(chart, "control")
    # SVG counts from the top.
    assert [y for _, y in rising] == sorted((y for _, y in rising), reverse=True)
    assert [y for _, y in falling] == sorted(y for _, y in falling)
    assert rising[1] == falling[1]
    assert [x for x, _ in rising] == sorted(x for x, _ in rising)


def test_legend_tells_where_each_curve_ends() -> None:
    chart = _draw(
        ChartLine("student", "student", [0, 1], [0.25, 0.75]),
        references=[ReferenceLine("teacher", "teacher", 0.875)],
    )

    legend = chart.find("p[@class='legend']")
    assert legend is not None
    assert "".join(legend.itertext()).split() == ["student", "0.75", "teacher", "0.875"]


def test_points_that_are_not_finite_are_left_out() -> None:
    chart = _draw(ChartLine("s", "student", [0, 1, 2, 3], [1.0, math.nan, math.inf, 2.0]))

    assert len(_places(chart, "student")) == 2


def test_steep_beginning_does_not_flatten_the_rest() -> None:
    values = [1000.0, *[1.0 + index / 100 for index in range(40)]]

    places = _places(_draw(ChartLine("s", "student", range(41), values)), "student")

    heights = [y for _, y in places[1:]]
    assert max(heights) - min(heights) > 200


def test_long_curves_are_thinned() -> None:
    values = [math.sin(step / 50) for step in range(20_000)]

    assert len(_places(_draw(ChartLine("s", "student", range(20_000), values)), "student")) <= 300


def test_single_point_is_a_dot() -> None:
    chart = _draw(ChartLine("s", "student", [7], [0.5]))

    assert len(list(chart.iter("circle"))) == 1


def test_nothing_recorded_is_said() -> None:
    chart = _draw(ChartLine("s", "student", [1], [math.nan]))

    assert "No point" in "".join(chart.itertext())


def test_picture_is_described_for_those_who_cannot_see_it() -> None:
    (picture,) = _draw(ChartLine("s", "student", [0, 1], [0, 1])).findall("svg")

    assert (picture.get("role"), picture.get("aria-label")) == ("img", "A chart")
