"""Fewer points that draw the same curve."""

from collections.abc import Sequence

Point = tuple[float, float]


def thin(points: Sequence[Point], at_most: int) -> list[Point]:
    """Keep the first and last point and, of each stretch between, its lowest and highest.

    Args:
        points: (x, y) with rising x.
        at_most: How many to keep; at least 4.

    Returns:
        Points of `points`, in their order.
    """
    if len(points) <= at_most:
        return list(points)
    inner = range(1, len(points) - 1)
    num_stretches = (at_most - 2) // 2
    kept = {0, len(points) - 1}
    for stretch in range(num_stretches):
        begin = stretch * len(inner) // num_stretches
        end = (stretch + 1) * len(inner) // num_stretches
        indices = inner[begin:end]
        kept.add(min(indices, key=lambda index: points[index][1]))
        kept.add(max(indices, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]
