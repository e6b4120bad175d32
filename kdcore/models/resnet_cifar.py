"""The `resnet_cifar` family: the CIFAR residual networks of He et al. 2016, section 4.2.

B batch, C channels, H height, W width, K classes.
"""

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.models.pointwise_convolution import make_convolution
from kdcore.spec.architectures import ResnetCifar
from kdcore.spec.networks import ImageInput


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with BatchNorm, added to the shortcut, then ReLU."""

    def __init__(self, entering: int, leaving: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(leaving)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(leaving)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or entering != leaving:
            self.downsample = nn.Sequential(
                make_convolution(entering, leaving, 1, stride=stride, padding=0, bias=False),
                nn.BatchNorm2d(leaving),
            )

    def forward(self, maps_BCHW: torch.Tensor) -> torch.Tensor:
        """Take and give maps_BCHW; stride 2 halves height and width."""
        inner_BCHW = F.relu(self.bn1(self.conv1(maps_BCHW)))
        shortcut_BCHW = maps_BCHW if self.downsample is None else self.downsample(maps_BCHW)
        return F.relu(self.bn2(self.conv2(inner_BCHW)) + shortcut_BCHW)


class ResnetCifarNetwork(nn.Module):
    """A 3x3 stem, three stages of `(depth - 2) / 6` basic blocks, global average, logits.

    The stages have width, 2 x width and 4 x width channels; the second and third start with
    stride 2. Where a shortcut changes shape it is a 1x1 convolution with BatchNorm (the paper's
    option B); the paper's CIFAR networks use the parameter-free option A, so depth 20 at width
    16 with 10 classes has 272,474 parameters here and 269,722 there. Convolutions start
    He-normal over fan-out, the rest as torch makes it.

    State-dict names follow the usual ones: `conv1`, `bn1`, `layer<stage>.<block>.conv1`, ...,
    `layer<stage>.<block>.downsample.<0|1>`, `fc`.
    """

    def __init__(self, architecture: ResnetCifar, *, image: ImageInput, num_classes: int) -> None:
        super().__init__()
        width = architecture.width
        stem = architecture.stem_width or width
        num_blocks = (architecture.depth - 2) // 6
        self.conv1 = nn.Conv2d(image.channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, width, num_blocks=num_blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, num_blocks=num_blocks, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, num_blocks=num_blocks, stride=2)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take normalised images_BCHW, give logits_BK."""
        maps_BCHW = F.relu(self.bn1(self.conv1(images_BCHW)))
        maps_BCHW = self.layer3(self.layer2(self.layer1(maps_BCHW)))
        return self.fc(maps_BCHW.mean((2, 3)))  # type: ignore[no-any-return]  # torch types calls of modules as Any


def _stage(entering: int, leaving: int, *, num_blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(entering, leaving, stride=stride)
    rest = [BasicBlock(leaving, leaving, stride=1) for _ in range(num_blocks - 1)]
    return nn.Sequential(first, *rest)
