"""What each of two processes does in the test of distributed capture."""

import os
from pathlib import Path

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kdcore.features import Observation, Tapped
from tests.kdcore.features.networks import classifier_of, images

LAYERS = ("conv1", "stage", "fc@input")
WORLD_SIZE = 2

Gradients = dict[str, torch.Tensor]


class WithoutNorm(nn.Module):
    """Without BatchNorm, whose statistics are those of each process' own images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.stage = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True))
        self.fc = nn.Linear(6, 5)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        logits_BK: torch.Tensor = self.fc(self.stage(self.conv1(images_BCHW)).mean((2, 3)))
        return logits_BK


def network() -> nn.Module:
    torch.manual_seed(0)
    return WithoutNorm()


def loss_of(observation: Observation) -> torch.Tensor:
    """A mean over images, so that the mean over processes is that over all of them."""
    terms = [value.square().flatten(1).sum(dim=1).mean() for value in observation.features.values()]
    if observation.logits_BC is not None:
        terms.append(observation.logits_BC.square().sum(dim=1).mean())
    return torch.stack(terms).sum()


def gradients_of(module: nn.Module, inputs: torch.Tensor) -> Gradients:
    """Take two steps' gradients, for the second shows whether the first left anything behind."""
    for _ in range(2):
        module.zero_grad()
        loss_of(module(inputs)).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return {
        name.removeprefix("module."): parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def train(rank: int, folder: str) -> None:
    """Write the gradients that this process ends with, for each way of wrapping."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD_SIZE
    )
    own = images(8).chunk(WORLD_SIZE)[rank]
    outside = DistributedDataParallel(Tapped(classifier_of(network()), LAYERS))
    early = DistributedDataParallel(
        Tapped(classifier_of(network()), ("stage",), to_end=False), find_unused_parameters=True
    )
    inside = Tapped(classifier_of(DistributedDataParallel(network())), LAYERS)
    around = Tapped(DistributedDataParallel(classifier_of(network())), LAYERS)
    results = {
        "outside": gradients_of(outside, own),
        "early": gradients_of(early, own),
        "inside": gradients_of(inside, own),
        "around": gradients_of(around, own),
    }
    torch.save(results, Path(folder) / f"{rank}.pt")
    # Without taking anything apart: a thread of gloo may still need the interpreter for that.
    os._exit(0)
