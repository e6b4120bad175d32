"""Axes: every value inside, ticks round and few."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.export.axis import Axis, value_axis

FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(values=st.lists(FINITE, min_size=1, max_size=20))
def test_every_value_lies_between_the_ends(values: list[float]) -> None:
    axis = value_axis(values, start=260, end=14)

    assert axis.low < axis.high
    for value in values:
        assert 14 <= axis.place(value) <= 260


@given(values=st.lists(FINITE, min_size=2, max_size=2), at_most=st.integers(2, 10))
def test_ticks_are_few_and_inside(values: list[float], at_most: int) -> None:
    axis = value_axis(values, start=0, end=100)

    ticks = axis.ticks(at_most)

    assert len(ticks) <= at_most
    room = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - room <= tick <= axis.high + room for tick in ticks)


def test_ticks_are_round_numbers() -> None:
    assert Axis(0.884, 0.993, 0, 1).ticks(6) == pytest.approx([0.9, 0.92, 0.94, 0.96, 0.98])


def test_higher_values_lie_nearer_the_end() -> None:
    axis = Axis(0.0, 10.0, 260, 10)

    assert (axis.place(0.0), axis.place(5.0), axis.place(10.0)) == (260, 135, 10)


def test_one_value_alone_has_room_around_it() -> None:
    axis = value_axis([0.0], start=0, end=1)

    assert math.isclose(axis.place(0.0), 0.5)
