"""Mixes the images of a batch in pairs: mixup and cutmix, on the device.

Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization, 2018
(arXiv:1710.09412). Yun, Han, Oh, Chun, Choe, Yoo: CutMix, 2019 (arXiv:1905.04899).

Image i of a batch meets image i - 1, the first meets the last: batches are shuffled anyway, so
this pairs at random. Each image has a share λ ~ Beta(alpha, alpha) of its own where the authors'
code draws one for a whole batch; the expectation is the same and the gradient less noisy.

B batch, M examples of the transfer set, H height, W width, C channels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kdcore.spec.transfer import CutMix, MixSpec, Mixup, NoMix


@dataclass(frozen=True, eq=False)
class MixDraws:
    """What is drawn for each image; the tensors are on one device.

    Attributes:
        share_B: float32, how much of an image is its own; 1 for one that stays as it is.
        box_B4: int64, top, bottom, left and right of what cutmix pastes in, the ends excluded;
            None for mixup.
    """

    share_B: torch.Tensor
    box_B4: torch.Tensor | None

    def part(self, start: int, size: int) -> "MixDraws":
        """Give the draws of `size` images from `start` on."""
        end = start + size
        box_B4 = None if self.box_B4 is None else self.box_B4[start:end]
        return MixDraws(self.share_B[start:end], box_B4)


def draw_mix(spec: MixSpec, *, size: int, height: int, width: int, seed: int) -> MixDraws | None:
    """Draw for `size` images, on the CPU; None where nothing is mixed."""
    match spec:
        case NoMix():
            return None
        case Mixup():
            share_M = _draw_shares(spec, size, np.random.Generator(np.random.PCG64(seed)))
            return MixDraws(torch.from_numpy(share_M).to(torch.float32), None)
        case CutMix():
            generator = np.random.Generator(np.random.PCG64(seed))
            share_M = _draw_shares(spec, size, generator)
            rows_M, columns_M = (generator.integers(side, size=size) for side in (height, width))
            return cut_boxes(share_M, rows_M, columns_M, height=height, width=width)


def _draw_shares(
    spec: Mixup | CutMix, size: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    share_M = generator.beta(spec.alpha, spec.alpha, size)
    share_M[generator.random(size) >= spec.probability] = 1.0
    return share_M


def cut_boxes(
    share_M: npt.NDArray[np.float64],
    rows_M: npt.NDArray[np.int64],
    columns_M: npt.NDArray[np.int64],
    *,
    height: int,
    width: int,
) -> MixDraws:
    """Make the boxes of cutmix around their middles, clipped to the image, and their exact shares.

    A box has 2·⌊√(1 - λ)·H / 2⌋ rows and as many columns with W, less what lies outside; the
    share is then 1 - rows·columns / (H·W), not λ.
    """
    half_M = np.sqrt(1.0 - share_M) / 2
    half_rows_M = (half_M * height).astype(np.int64)
    half_columns_M = (half_M * width).astype(np.int64)
    top_M = np.maximum(rows_M - half_rows_M, 0)
    bottom_M = np.minimum(rows_M + half_rows_M, height)
    left_M = np.maximum(columns_M - half_columns_M, 0)
    right_M = np.minimum(columns_M + half_columns_M, width)
    area_M = (bottom_M - top_M) * (right_M - left_M)
    own_M = 1.0 - area_M / (height * width)
    box_M4 = np.stack([top_M, bottom_M, left_M, right_M], axis=1)
    return MixDraws(torch.from_numpy(own_M).to(torch.float32), torch.from_numpy(box_M4))


def mix_images(images_BHWC: torch.Tensor, draws: MixDraws) -> torch.Tensor:
    """Mix each image with the one before it.

    Args:
        images_BHWC: Float.
        draws: One for each image.

    Returns:
        Of the same shape and type: λ·own + (1 - λ)·other, or the other inside the box.
    """
    others_BHWC = images_BHWC.roll(1, 0)
    if draws.box_B4 is None:
        share_B111 = draws.share_B.view(-1, 1, 1, 1)
        # Two products and a sum, each rounded alike on every device.
        return images_BHWC * share_B111 + others_BHWC * (1 - share_B111)
    B, H, W, _ = images_BHWC.shape
    top_B1, bottom_B1, left_B1, right_B1 = draws.box_B4.view(B, 4, 1).unbind(1)
    row_H = torch.arange(H, device=images_BHWC.device)
    column_W = torch.arange(W, device=images_BHWC.device)
    in_rows_BH = (row_H >= top_B1) & (row_H < bottom_B1)
    in_columns_BW = (column_W >= left_B1) & (column_W < right_B1)
    inside_BHW = in_rows_BH.unsqueeze(2) & in_columns_BW.unsqueeze(1)
    return torch.where(inside_BHW.unsqueeze(3), others_BHWC, images_BHWC)
