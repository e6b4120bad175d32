"""What a process does in the test of narrow networks: it trains them, and checks its gradients.

B batch, C channels, H height, W width, N weights.
"""

import copy

import torch
from torch import nn

from kdcore.models import build_network, channels_last
from kdcore.spec import Architecture, Cnn, ImageInput, NetworkDescription, ResnetCifar
from kdcore.spec.architectures import ActivationLayer, Conv

NUM_STEPS = 30

NARROW_ARCHITECTURES: tuple[Architecture, ...] = (
    ResnetCifar(depth=8, width=1),
    ResnetCifar(depth=8, width=4),
    ResnetCifar(depth=8, width=7),
    Cnn(layers=(Conv(channels=8, kernel_size=1, stride=2, padding=0), ActivationLayer())),
    Cnn(layers=(Conv(channels=5), Conv(channels=8, kernel_size=1, stride=4, padding=0))),
)


def train_narrow_networks(_rank: int, num_threads: int) -> None:
    """Take gradients of each network again and again, in channels last, and compare the last."""
    torch.set_num_threads(num_threads)
    for architecture in NARROW_ARCHITECTURES:
        for channels in (1, 3):
            image = ImageInput(channels=channels, height=16, width=16)
            description = NetworkDescription(architecture=architecture, input=image, num_classes=10)
            network = channels_last(build_network(description, seed=0))
            exact = copy.deepcopy(network).double()
            torch.manual_seed(0)
            images_BCHW = torch.rand(16, *image.shape_CHW).to(memory_format=torch.channels_last)
            for _ in range(NUM_STEPS):
                found_N = _gradients(network, images_BCHW)
            expected_N = _gradients(exact, images_BCHW.double())
            error = (found_N - expected_N).norm() / expected_N.norm()
            assert error < 1e-3, f"{architecture}, {channels} channels: {error}"


def _gradients(network: nn.Module, images_BCHW: torch.Tensor) -> torch.Tensor:
    """Give those by all weights, one after the other."""
    loss = network(images_BCHW).square().mean()
    return torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))]
    )
