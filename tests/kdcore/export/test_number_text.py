"""Numbers as people read them."""

import pytest

from kdcore.export.number_text import axis_number, byte_size, count, percent, signed


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [(3, 0, "+3"), (-1234, 0, "−1,234"), (0, 0, "0"), (-0.00001, 2, "0"), (0.5, 2, "+0.50")],
)
def test_differences_have_a_sign_unless_they_are_none(
    value: float, digits: int, written: str
) -> None:
    assert signed(value, digits=digits) == written


def test_shares_are_percentages() -> None:
    assert percent(0.97841) == "97.84 %"
    assert percent(1, digits=1) == "100.0 %"


def test_counts_have_thousands_apart() -> None:
    assert count(21_289_802) == "21,289,802"


@pytest.mark.parametrize(
    ("num_bytes", "written"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1_253_376, "1.25 MB"),
        (5 * 10**12, "5000.00 GB"),
    ],
)
def test_sizes_are_in_powers_of_1000(num_bytes: int, written: str) -> None:
    assert byte_size(num_bytes) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.92, "0.92"), (12_000, "12k"), (1_500_000, "1.5M"), (-0.25, "−0.25"), (0.1 + 0.2, "0.3")],
)
def test_ticks_are_short(value: float, written: str) -> None:
    assert axis_number(value) == written
