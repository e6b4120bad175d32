"""Shifts and mirrors whole batches of images on their device.

B batch, H height, W width, C channels, P pixels added on each side.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch.nn import functional as F

from kdcore.errors import IncompatibleInputs
from kdcore.spec.transfer import AugmentationSpec, Crop, Flip, Jitter, NoAugmentation, RandAugment


@dataclass(frozen=True)
class Shifts:
    """Shifts within zero padding, and mirroring: finitely many views of each image.

    View v of an image is it shifted by y rows and x columns, what comes in being 0, then mirrored
    left to right if f = 1. With n = 2·padding + 1 and all three counted modulo their range,
    v = ((y mod n)·n + (x mod n))·2 + f, without the factor 2 where nothing is mirrored. So view 0
    is always the image itself.

    Attributes:
        padding: Largest shift in pixels; 0 for none.
        flips: Whether half of the views are mirrored.
    """

    padding: int
    flips: bool

    @classmethod
    def from_spec(cls, spec: AugmentationSpec, *, height: int, width: int) -> Self:
        """Make the shifts that a spec asks for.

        Raises:
            IncompatibleInputs: `shift_too_large` if a shift could leave nothing of an image.
        """
        match spec:
            case NoAugmentation():
                return cls(padding=0, flips=False)
            case Flip():
                return cls(padding=0, flips=True)
            case Jitter(pixels=padding):
                field, flips = "pixels", False
            case Crop(padding=padding, flip=flips) | RandAugment(padding=padding, flip=flips):
                field = "padding"
        if padding >= min(height, width):
            raise IncompatibleInputs(
                "shift_too_large",
                f"A shift of {padding} pixels can push a whole {height}×{width} image out of "
                f"view. Choose at most {min(height, width) - 1}.",
                pointer=f"/transfer/augmentation/{field}",
            )
        return cls(padding=padding, flips=flips)

    @property
    def num_views(self) -> int:
        """How many views each image has."""
        return (2 * self.padding + 1) ** 2 * (2 if self.flips else 1)

    def draw_views(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """Draw `size` views uniformly: int64 on the generator's device."""
        if self.num_views == 1:
            return torch.zeros(size, dtype=torch.int64, device=generator.device)
        return torch.randint(self.num_views, (size,), generator=generator, device=generator.device)

    def apply(self, images_BHWC: torch.Tensor, view_B: torch.Tensor) -> torch.Tensor:
        """Make one view of each image.

        Args:
            images_BHWC: uint8, contiguous.
            view_B: int64 on the same device.

        Returns:
            uint8 of the same shape, contiguous. No device synchronisation happens.
        """
        if self.num_views == 1:
            return images_BHWC
        B, H, W, C = images_BHWC.shape
        device = images_BHWC.device
        if self.padding:
            images_BHWC = F.pad(images_BHWC, (0, 0, *[self.padding] * 4))
        padded_H, padded_W = H + 2 * self.padding, W + 2 * self.padding
        # Half the bytes of int64 to compute and to read, wherever they suffice.
        index_type = torch.int32 if B * padded_H * padded_W < 2**31 else torch.int64
        y_B, x_B, mirrored_B = self._decode(view_B.to(index_type))
        column_W = torch.arange(W, device=device, dtype=index_type)
        column_BW = torch.where(mirrored_B.unsqueeze(1), W - 1 - column_W, column_W)
        first_row_B = torch.arange(B, device=device, dtype=index_type) * padded_H + y_B
        row_BH = first_row_B.unsqueeze(1) + torch.arange(H, device=device, dtype=index_type)
        pixel_BHW = (row_BH * padded_W + x_B.unsqueeze(1)).unsqueeze(2) + column_BW.unsqueeze(1)
        # Gathering single elements is four times as fast as gathering rows of one element.
        pixels = images_BHWC.view(-1) if C == 1 else images_BHWC.view(-1, C)
        return pixels.index_select(0, pixel_BHW.view(-1)).view(B, H, W, C)

    def _decode(self, view_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tell the row and column of the padded image where each view is cut, and if mirrored."""
        num_shifts = 2 * self.padding + 1
        num_mirrors = 2 if self.flips else 1
        mirrored_B = view_B % num_mirrors == 1
        shift_B = torch.div(view_B, num_mirrors, rounding_mode="floor")
        y_B = torch.div(shift_B, num_shifts, rounding_mode="floor")
        x_B = shift_B % num_shifts
        # An image that moves down or right is cut higher up or further left.
        cut_y_B = (self.padding - y_B) % num_shifts
        cut_x_B = (self.padding - x_B) % num_shifts
        return cut_y_B, cut_x_B, mirrored_B
