"""Runs a network on meta tensors: shapes without values, memory or computation.

B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call

from kdcore.spec.networks import ImageInput


def dry_run(network: nn.Module, image: ImageInput, *, batch_size: int = 1) -> torch.Tensor:
    """Give the output of `network` in eval mode for images of that size, as a meta tensor.

    The network may live on any device; its weights are neither read nor copied, and its
    training mode is as before afterwards.

    Raises:
        RuntimeError: the images do not fit the network; torch says where.
    """
    images_BCHW = torch.empty(batch_size, *image.shape_CHW, device="meta")
    tensors = [*network.named_parameters(), *network.named_buffers()]
    on_meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    with _eval_mode(network), torch.no_grad():
        # The module's type is not kept by functional_call.
        logits_BK: torch.Tensor = functional_call(network, on_meta, (images_BCHW,))
    return logits_BK


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
