"""Batched augmentation equals a plain loop over images, and the view's number says it all.

B batch, H height, W width, C channels.
"""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdcore.data.shifts import Shifts
from kdcore.errors import IncompatibleInputs
from kdcore.spec import AugmentationSpec, Crop, Flip, Jitter, NoAugmentation

Pixels = npt.NDArray[np.uint8]


def _slow_view(image_HWC: Pixels, spec: AugmentationSpec, view: int) -> Pixels:
    """Do to one image, pixel by pixel, what a view's number says."""
    mirrored = isinstance(spec, Flip) or (isinstance(spec, Crop) and spec.flip)
    most = {"none": 0, "flip": 0}.get(spec.name)
    if most is None:
        most = spec.pixels if isinstance(spec, Jitter) else getattr(spec, "padding", 0)
    flip = mirrored and view % 2 == 1
    shift = view // 2 if mirrored else view
    down, right = divmod(shift, 2 * most + 1)
    down = down if down <= most else down - (2 * most + 1)
    right = right if right <= most else right - (2 * most + 1)
    height, width, _ = image_HWC.shape
    result_HWC = np.zeros_like(image_HWC)
    for row in range(height):
        for column in range(width):
            source_row = row - down
            source_column = (width - 1 - column if flip else column) - right
            if 0 <= source_row < height and 0 <= source_column < width:
                result_HWC[row, column] = image_HWC[source_row, source_column]
    return result_HWC


_SPECS: list[AugmentationSpec] = [
    NoAugmentation(),
    Jitter(pixels=1),
    Jitter(pixels=3),
    Crop(padding=2),
    Crop(padding=4, flip=False),
    Flip(),
]
_NUM_VIEWS = [1, 9, 49, 50, 81, 2]


@pytest.mark.parametrize(("spec", "num_views"), list(zip(_SPECS, _NUM_VIEWS, strict=True)))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_view_equals_the_slow_loop(
    spec: AugmentationSpec, num_views: int, channels: int
) -> None:
    augmentation = Shifts.from_spec(spec, height=5, width=6)
    assert augmentation.num_views == num_views
    rng = np.random.default_rng(0)
    images_BHWC = rng.integers(1, 256, (num_views, 5, 6, channels), dtype=np.uint8)
    view_B = torch.arange(num_views)
    varied_BHWC = augmentation.apply(torch.from_numpy(images_BHWC), view_B).numpy()
    expected_BHWC = [_slow_view(image, spec, view) for view, image in enumerate(images_BHWC)]
    assert np.array_equal(varied_BHWC, expected_BHWC)
    assert np.array_equal(varied_BHWC[0], images_BHWC[0])


@pytest.mark.parametrize("spec", _SPECS)
def test_each_view_of_an_image_is_another_picture(spec: AugmentationSpec) -> None:
    augmentation = Shifts.from_spec(spec, height=5, width=6)
    image_HWC = torch.arange(1, 31, dtype=torch.uint8).view(5, 6, 1)
    images_BHWC = image_HWC.expand(augmentation.num_views, 5, 6, 1).contiguous()
    varied = augmentation.apply(images_BHWC, torch.arange(augmentation.num_views))
    assert len({view.numpy().tobytes() for view in varied}) == augmentation.num_views


@given(seed=st.integers(0, 2**63 - 1))
def test_drawn_views_are_in_range_and_repeatable(seed: int) -> None:
    augmentation = Shifts(padding=4, flips=True)
    drawn = [augmentation.draw_views(100, torch.Generator().manual_seed(seed)) for _ in range(2)]
    assert torch.equal(*drawn)
    assert drawn[0].dtype == torch.int64
    assert int(drawn[0].min()) >= 0
    assert int(drawn[0].max()) < 162


def test_views_are_drawn_uniformly() -> None:
    augmentation = Shifts(padding=1, flips=True)
    views = augmentation.draw_views(18_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(views, minlength=18).double()
    assert len(counts) == 18
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 42.3  # chi-squared, 17 degrees, p 0.0006


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        (Jitter(pixels=5), "/transfer/augmentation/pixels"),
        (Crop(padding=8), "/transfer/augmentation/padding"),
    ],
)
def test_a_shift_out_of_the_picture_is_refused_at_its_field(
    spec: AugmentationSpec, pointer: str
) -> None:
    with pytest.raises(IncompatibleInputs) as caught:
        Shifts.from_spec(spec, height=5, width=6)
    assert caught.value.code == "shift_too_large"
    assert caught.value.pointer == pointer
