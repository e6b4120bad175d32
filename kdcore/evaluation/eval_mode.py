"""Puts a network into eval mode for a while, and every part of it back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Run the block in eval mode; afterwards each module is in the mode it was in before.

    Not simply `network.train()` at the end: a network may have been frozen in part.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
