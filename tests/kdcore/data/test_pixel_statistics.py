"""Mean and standard deviation are those of the values, however the images arrive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.data.pixel_statistics import PixelStatistics


@given(seed=st.integers(0, 2**32), channels=st.integers(1, 4), parts=st.integers(1, 5))
def test_statistics_match_numpy(seed: int, channels: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    images_NHWC = rng.integers(0, 256, (7, 3, 2, channels), dtype=np.uint8)
    statistics = PixelStatistics(channels)
    for part_NHWC in np.array_split(images_NHWC, parts):
        statistics.add(part_NHWC)
    values = images_NHWC.astype(np.float64) / 255
    assert statistics.mean() == pytest.approx(values.mean(axis=(0, 1, 2)), rel=1e-12)
    assert statistics.std() == pytest.approx(values.std(axis=(0, 1, 2)), rel=1e-12)


def test_a_channel_that_never_varies_divides_by_one() -> None:
    statistics = PixelStatistics(2)
    images_NHWC = np.full((3, 2, 2, 2), 51, dtype=np.uint8)
    images_NHWC[0, 0, 0, 1] = 0
    statistics.add(images_NHWC)
    assert statistics.mean()[0] == 0.2
    assert statistics.std()[0] == 1.0
    assert 0 < statistics.std()[1] < 1
