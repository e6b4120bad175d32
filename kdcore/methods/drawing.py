"""Draws the first weights of what a method trains beside the student, from the method's seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kdcore.seeds import derive_seed


@contextmanager
def drawing(seed: int, purpose: str) -> Iterator[None]:
    """Let modules and tensors made inside depend on (`seed`, `purpose`) alone.

    They are made on the CPU, and torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(derive_seed(seed, purpose))
        yield
