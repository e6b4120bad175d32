"""Mixed images are those of torchvision's own mixing, and shares are exact areas.

B batch, M examples, H height, W width, C channels.
"""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.data.mix import MixDraws, cut_boxes, draw_mix, mix_images
from kdcore.models.torchvision_import import import_torchvision_models
from kdcore.spec import CutMix, Mixup, NoMix


@pytest.fixture(scope="module")
def torchvision_mixes() -> ModuleType:
    import_torchvision_models()
    from torchvision.transforms.v2 import _augment  # noqa: PLC0415  # imports late, see there

    module: ModuleType = _augment
    return module


def _images() -> torch.Tensor:
    return torch.rand(6, 7, 5, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_mixup_equals_torchvision_s(torchvision_mixes: ModuleType, share: float) -> None:
    images_BHWC = _images()
    mixup = torchvision_mixes.MixUp(num_classes=10)
    expected = mixup.transform(
        images_BHWC.permute(0, 3, 1, 2), {"lam": share, "batch_size": 6, "labels": None}
    )
    found = mix_images(images_BHWC, MixDraws(torch.full((6,), share), None))
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_equals_torchvision_s(torchvision_mixes: ModuleType, seed: int) -> None:
    """Its own draws are repeated and handed to our boxes: same pixels, same adjusted share."""
    images_BHWC = _images()
    cutmix = torchvision_mixes.CutMix(num_classes=10)
    torch.manual_seed(seed)
    parameters: dict[str, Any] = cutmix.make_params([images_BHWC.permute(0, 3, 1, 2)])
    torch.manual_seed(seed)
    share = float(cutmix._dist.sample(()))
    column, row = (int(torch.randint(side, size=(1,))) for side in (5, 7))
    parameters |= {"batch_size": 6, "labels": None}
    expected = cutmix.transform(images_BHWC.permute(0, 3, 1, 2), parameters)
    draws = cut_boxes(np.full(6, share), np.full(6, row), np.full(6, column), height=7, width=5)
    assert torch.equal(mix_images(images_BHWC, draws).permute(0, 3, 1, 2), expected)
    torch.testing.assert_close(
        draws.share_B, torch.full((6,), float(parameters["lam_adjusted"])), atol=1e-6, rtol=0
    )


def test_share_of_cutmix_is_the_area_that_is_left_after_clipping() -> None:
    draws = draw_mix(CutMix(), size=200, height=9, width=6, seed=1)
    assert draws is not None
    own_BHWC = torch.zeros(200, 9, 6, 1)
    own_BHWC[1::2] = 1.0  # every neighbour differs
    mixed_BHWC = mix_images(own_BHWC, draws)
    kept_B = (mixed_BHWC == own_BHWC).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(draws.share_B, kept_B, atol=1e-6, rtol=0)
    assert len(set(draws.share_B.tolist())) > 15


def test_mean_of_a_mixed_image_lies_between_both() -> None:
    draws = draw_mix(Mixup(alpha=0.4), size=6, height=7, width=5, seed=1)
    assert draws is not None
    images_BHWC = _images()
    mixed_B = mix_images(images_BHWC, draws).mean(dim=(1, 2, 3))
    own_B = images_BHWC.mean(dim=(1, 2, 3))
    expected_B = draws.share_B * own_B + (1 - draws.share_B) * own_B.roll(1)
    torch.testing.assert_close(mixed_B, expected_B)


@pytest.mark.parametrize("spec", [Mixup(probability=0.25), CutMix(probability=0.25)])
def test_the_probability_is_the_share_of_mixed_images(spec: Mixup | CutMix) -> None:
    draws = draw_mix(spec, size=20_000, height=32, width=32, seed=1)
    assert draws is not None
    assert float((draws.share_B < 1).float().mean()) == pytest.approx(0.25, abs=0.015)


def test_shares_have_the_moments_of_their_distribution() -> None:
    draws = draw_mix(Mixup(alpha=0.3), size=50_000, height=1, width=1, seed=0)
    assert draws is not None
    assert float(draws.share_B.mean()) == pytest.approx(0.5, abs=0.01)
    # The variance of Beta(a, a) is 1/(4(2a + 1)).
    assert float(draws.share_B.var()) == pytest.approx(1 / 6.4, abs=0.005)


def test_no_mix_draws_nothing() -> None:
    assert draw_mix(NoMix(), size=5, height=2, width=2, seed=0) is None


def test_a_part_of_the_draws_is_that_of_its_images() -> None:
    draws = draw_mix(CutMix(), size=10, height=8, width=8, seed=0)
    assert draws is not None
    assert draws.box_B4 is not None
    part = draws.part(4, 3)
    assert torch.equal(part.share_B, draws.share_B[4:7])
    assert part.box_B4 is not None
    assert torch.equal(part.box_B4, draws.box_B4[4:7])
