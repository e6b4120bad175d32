"""A classifier for images that are not of its network's size.

B batch, C channels, H height, W width, K classes.
"""

import torch
from torch.nn import functional

from kdcore.models.classifier import Classifier


class FittingClassifier(Classifier):
    """Brings images to its network's height, width and channels before it normalises them.

    Sizes by bilinear interpolation, smoothed where it makes images smaller; one grey channel is
    repeated for a network that takes three. Images that fit go in untouched.
    """

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take float images_BCHW in [0, 1] of any size, give logits_BK."""
        channels, *size = self.image.shape_CHW
        if list(images_BCHW.shape[2:]) != size:
            images_BCHW = functional.interpolate(
                images_BCHW, size, mode="bilinear", antialias=True, align_corners=False
            )
        if images_BCHW.shape[1] == 1 != channels:
            images_BCHW = images_BCHW.expand(-1, channels, -1, -1)
        return super().forward(images_BCHW)
