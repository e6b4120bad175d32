"""Takes losses out of half precision: softmax sums and squares lose too much in 16 bits."""

import torch


def full_precision(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Give each tensor as float32, or as it is where it is already float32 or float64."""
    return tuple(t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors)


def no_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Make the context in which operations on `tensor`'s device keep their inputs' precision."""
    return torch.autocast(tensor.device.type, enabled=False)
