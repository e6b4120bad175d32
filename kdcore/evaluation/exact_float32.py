"""Keeps float32 exact on CUDA for a while: no TensorFloat-32, no autocast."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Run the block with full 23-bit products, so that a GPU predicts what a CPU predicts.

    TensorFloat-32 rounds products to 10 bits, which moves logits by about a thousandth and so
    changes a prediction now and then; an exported file run elsewhere would not agree.
    """
    matmul = torch.get_float32_matmul_precision()
    convolution = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
