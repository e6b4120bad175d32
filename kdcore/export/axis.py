"""Axes of charts: which range to show, where to put ticks, where a value lies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """A range of values laid over a range of pixels; `end` may lie before `start`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Give the pixel of a value; outside the range it lies outside the pixels."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, at_most: int) -> tuple[float, ...]:
        """Give round values inside the range, about evenly spread, no more than `at_most`."""
        rough = (self.high - self.low) / max(1, at_most)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(index * step for index in range(first, last + 1))[:at_most]


def value_axis(values: Sequence[float], *, start: float, end: float) -> Axis:
    """Lay an axis over finite numbers, at least one, with a little room around.

    Args:
        values: What must be inside.
        start: Pixel of the lowest value.
        end: Pixel of the highest value.
    """
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.05
    return Axis(low - room, high + room, start, end)
