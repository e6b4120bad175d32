"""Seeds derive from counters alone and never change between versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.seeds import derive_seed

_INTEGERS = st.integers(min_value=-(2**70), max_value=2**70)
_CALLS = st.tuples(_INTEGERS, st.text(max_size=8), st.lists(_INTEGERS, max_size=3))


@given(_CALLS)
def test_a_seed_fits_every_generator_and_is_the_same_each_time(
    call: tuple[int, str, list[int]],
) -> None:
    seed, purpose, counters = call
    derived = derive_seed(seed, purpose, *counters)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, purpose, *counters)


@given(_CALLS, _CALLS)
def test_different_places_get_different_seeds(
    one: tuple[int, str, list[int]], other: tuple[int, str, list[int]]
) -> None:
    same = derive_seed(one[0], one[1], *one[2]) == derive_seed(other[0], other[1], *other[2])
    assert same == (one == other)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ((0, "order", 0), 9_044_793_969_372_207_287),
        ((1, "augmentation", 5), 2_252_385_439_526_319_095),
        ((2**31 - 1, "transfer", 3, 4), 615_036_586_619_800_426),
    ],
)
def test_seeds_stay_what_they_were_so_that_old_runs_can_be_repeated(
    call: tuple[int, str, int], expected: int
) -> None:
    assert derive_seed(*call) == expected
