"""Varies whole batches of images on their device; a view's number says all that was done.

B batch, H height, W width, C channels.
"""

from typing import Protocol

import torch

from kdcore.data.randaugment import RandAugmentation
from kdcore.data.shifts import Shifts
from kdcore.spec.transfer import AugmentationSpec, RandAugment


class Augmentation(Protocol):
    """Finitely many views of each image, by number; view 0 is the image itself."""

    @property
    def num_views(self) -> int:
        """How many views each image has; some may look alike."""

    def draw_views(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """Draw `size` views: int64 on the generator's device."""

    def apply(self, images_BHWC: torch.Tensor, view_B: torch.Tensor) -> torch.Tensor:
        """Make one view of each image.

        Args:
            images_BHWC: uint8, contiguous.
            view_B: int64 on the same device.

        Returns:
            uint8 of the same shape, contiguous; the same bytes on every device. On CUDA no
            device synchronisation happens.
        """


def build_augmentation(spec: AugmentationSpec, *, height: int, width: int) -> Augmentation:
    """Make the augmentation that a spec asks for.

    Raises:
        IncompatibleInputs: `shift_too_large` if a shift could leave nothing of an image.
    """
    if isinstance(spec, RandAugment):
        return RandAugmentation.from_spec(spec, height=height, width=width)
    return Shifts.from_spec(spec, height=height, width=width)
