"""Fewer points that draw the same curve."""

from hypothesis import given
from hypothesis import strategies as st

from kdcore.export.thinning import thin

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=400)


@given(values=VALUES, at_most=st.integers(4, 60))
def test_extremes_and_ends_are_kept_in_order_within_the_bound(
    values: list[float], at_most: int
) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]

    kept = thin(points, at_most)

    assert len(kept) <= at_most
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert min(y for _, y in kept) == min(values)
        assert max(y for _, y in kept) == max(values)


def test_few_points_are_all_kept() -> None:
    points = [(1.0, 5.0), (2.0, 4.0), (3.0, 6.0)]

    assert thin(points, 4) == points
