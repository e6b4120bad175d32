"""The `reused_classifier` family: a backbone, a projector, and another network's classifier.

B batch, C channels, H height, W width, K classes.
"""

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.models.cut import cut_after
from kdcore.models.dry_run import dry_run
from kdcore.spec.architectures import ReusedClassifier
from kdcore.spec.networks import ImageInput


class ReusedClassifierNetwork(nn.Module):
    """The backbone's maps, averaged down to height x width, projected, averaged, classified.

    A vector counts as a map of 1x1. The projector is the authors' bottleneck: convolutions of
    1x1, 3x3 and 1x1, each with BatchNorm and ReLU; on maps of 1x1 the middle one is 1x1 too, for
    the rest of it would never be used. State-dict names: `backbone.` and the backbone's own,
    `projector.<i>`, `classifier.weight` and `.bias`.

    Args:
        architecture: What it is.
        backbone: Its first part is taken over, not copied.
        image: What the backbone takes.
        num_classes: Of the classifier.

    Raises:
        IncompatibleInputs: the layer is not one, or gives neither a map nor a vector.
    """

    def __init__(
        self,
        architecture: ReusedClassifier,
        backbone: nn.Module,
        *,
        image: ImageInput,
        num_classes: int,
    ) -> None:
        super().__init__()
        self._size = (architecture.height, architecture.width)
        self.backbone = cut_after(backbone, architecture.layer)
        entering = dry_run(self.backbone, image)
        if entering.dim() not in (2, 4):
            raise IncompatibleInputs(
                "layer_is_no_map",
                f"{architecture.layer} gives neither a map nor a vector. Name another layer.",
                pointer="/layer",
            )
        self.projector = _projector(architecture, entering.shape[1])
        self.classifier = nn.Linear(architecture.channels, num_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take normalised images_BCHW, give logits_BK."""
        maps_BCHW = self.backbone(images_BCHW)
        if maps_BCHW.dim() == 2:
            maps_BCHW = maps_BCHW[:, :, None, None]
        if maps_BCHW.shape[2:] != self._size:
            maps_BCHW = F.adaptive_avg_pool2d(maps_BCHW, self._size)
        return self.classifier(self.projector(maps_BCHW).mean((2, 3)))  # type: ignore[no-any-return]  # torch types calls of modules as Any


def _projector(architecture: ReusedClassifier, entering: int) -> nn.Sequential:
    middle, leaving = architecture.bottleneck, architecture.channels
    kernel_size = 1 if (architecture.height, architecture.width) == (1, 1) else 3
    return nn.Sequential(
        nn.Conv2d(entering, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, middle, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, leaving, 1, bias=False),
        nn.BatchNorm2d(leaving),
        nn.ReLU() if architecture.activation == "relu" else nn.Identity(),
    )
