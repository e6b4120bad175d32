"""Refuses to train BatchNorm on a single value of each channel, which has no variance.

B batch, C channels, H height, W width.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.errors import IncompatibleInputs


def refuse_single_values(networks: Iterable[nn.Module]) -> None:
    """Let every BatchNorm in `networks` refuse a batch whose channels have one value each.

    That is a batch of one image where the layer takes a vector, or maps of 1x1. It is refused
    when the layer is reached in training, so in the first step of its stage.

    Raises:
        IncompatibleInputs: `batch_of_one_image`, later, from the forward pass.
    """
    for network in networks:
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_pre_hook(_Refusal(name))


class _Refusal:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        (values_BCHW,) = inputs
        if module.training and values_BCHW.numel() == values_BCHW.shape[1]:
            raise IncompatibleInputs(
                "batch_of_one_image",
                f"In a batch of one image the BatchNorm {self._name!r} has a single value of each "
                "channel, which has no variance. Set training.batch_size to 2 or more, with at "
                "least two images to learn from.",
                pointer="/training/batch_size",
            )
