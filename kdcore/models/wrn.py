"""The `wrn` family: wide residual networks, Zagoruyko and Komodakis 2016 (arXiv:1605.07146).

B batch, C channels, H height, W width, K classes.
"""

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.spec.architectures import Wrn
from kdcore.spec.networks import ImageInput


class WideBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions, dropout between, plus shortcut.

    Where channels change, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, entering: int, leaving: int, *, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(entering)
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(leaving)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, padding=1, bias=False)
        self.convShortcut: nn.Conv2d | None = None
        if entering != leaving:
            self.convShortcut = nn.Conv2d(entering, leaving, 1, stride=stride, bias=False)

    def forward(self, maps_BCHW: torch.Tensor) -> torch.Tensor:
        """Take and give maps_BCHW; stride 2 halves height and width."""
        active_BCHW = F.relu(self.bn1(maps_BCHW))
        inner_BCHW = self.dropout(F.relu(self.bn2(self.conv1(active_BCHW))))
        shortcut_BCHW = maps_BCHW if self.convShortcut is None else self.convShortcut(active_BCHW)
        return self.conv2(inner_BCHW) + shortcut_BCHW  # type: ignore[no-any-return]  # torch types calls of modules as Any


class WideStage(nn.Module):
    """Blocks of one width; the first one may change channels and stride."""

    def __init__(
        self, entering: int, leaving: int, *, num_blocks: int, stride: int, dropout: float
    ) -> None:
        super().__init__()
        first = WideBlock(entering, leaving, stride=stride, dropout=dropout)
        rest = [
            WideBlock(leaving, leaving, stride=1, dropout=dropout) for _ in range(num_blocks - 1)
        ]
        self.layer = nn.Sequential(first, *rest)

    def forward(self, maps_BCHW: torch.Tensor) -> torch.Tensor:
        """Take and give maps_BCHW."""
        return self.layer(maps_BCHW)  # type: ignore[no-any-return]  # torch types calls of modules as Any


class WrnNetwork(nn.Module):
    """A 3x3 stem of 16 channels, three stages of `(depth - 4) / 6` blocks, BatchNorm, logits.

    The stages have 16, 32 and 64 channels times `widen_factor`. Convolutions start He-normal
    over fan-out, the classifier's bias at 0, the rest as torch makes it.

    State-dict names follow the usual ones: `conv1`, `block<stage>.layer.<block>.bn1`, ...,
    `block<stage>.layer.0.convShortcut`, `bn1`, `fc`.
    """

    def __init__(self, architecture: Wrn, *, image: ImageInput, num_classes: int) -> None:
        super().__init__()
        widths = [16 * architecture.widen_factor * 2**stage for stage in range(3)]
        num_blocks = (architecture.depth - 4) // 6
        rate = architecture.dropout
        self.conv1 = nn.Conv2d(image.channels, 16, 3, padding=1, bias=False)
        self.block1 = WideStage(16, widths[0], num_blocks=num_blocks, stride=1, dropout=rate)
        self.block2 = WideStage(widths[0], widths[1], num_blocks=num_blocks, stride=2, dropout=rate)
        self.block3 = WideStage(widths[1], widths[2], num_blocks=num_blocks, stride=2, dropout=rate)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take normalised images_BCHW, give logits_BK."""
        maps_BCHW = self.block3(self.block2(self.block1(self.conv1(images_BCHW))))
        return self.fc(F.relu(self.bn1(maps_BCHW)).mean((2, 3)))  # type: ignore[no-any-return]  # torch types calls of modules as Any
