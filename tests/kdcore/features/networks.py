"""Networks that make capturing hard: they overwrite, repeat, and count what runs."""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.models import Classifier
from kdcore.spec import ImageInput

IMAGE = ImageInput(channels=3, height=8, width=8)


class Overwriting(nn.Module):
    """Each layer is followed by something that works in place; one ReLU runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.stage = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 5)
        self.unused = nn.Linear(2, 2)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        maps_BCHW = self.relu(self.bn1(self.conv1(images_BCHW)))
        maps_BCHW = F.relu_(self.conv2(self.stage(maps_BCHW)))
        logits_BK: torch.Tensor = self.fc(self.relu(maps_BCHW.mean((2, 3)) - 0.1))
        return logits_BK


class Plain(Overwriting):
    """Computes the same, and overwrites nothing."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        maps_BCHW = F.relu(self.bn1(self.conv1(images_BCHW)))
        conv, _ = self.stage
        maps_BCHW = F.relu(self.conv2(F.relu(conv(maps_BCHW))))
        logits_BK: torch.Tensor = self.fc(F.relu(maps_BCHW.mean((2, 3)) - 0.1))
        return logits_BK


def classifier_of(network: nn.Module) -> Classifier:
    return Classifier(network, IMAGE)


def make(kind: type[Overwriting] = Overwriting, *, seed: int = 0) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return classifier_of(kind())


def images(num: int = 4) -> torch.Tensor:
    return torch.rand(num, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def count_runs(network: nn.Module) -> Counter[str]:
    """Count from now on how often each module has begun to run."""
    runs: Counter[str] = Counter()
    for name, module in network.named_modules():
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: runs.update([name]))
    return runs
