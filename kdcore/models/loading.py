"""Puts plain tensors into a network: the one way in, whatever the network asks of them."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn


def load_weights(
    network: nn.Module, weights: Mapping[str, torch.Tensor], *, assign: bool = False
) -> None:
    """Load weights by name into a network of exactly these names and shapes.

    A file holds tensors alone, but torchvision's mnasnet also wants the layout version that
    torch keeps beside them in a state dict, and refuses to load without. The tensors here were
    written by, or matched against, the network as it is built today, so they get its versions.

    Args:
        network: On any device; also on "meta", if the tensors are assigned.
        weights: The network's state dict, on any device.
        assign: Take the tensors themselves instead of copying their values.

    Raises:
        RuntimeError: names or shapes differ.
    """
    state = OrderedDict(weights)
    # torch passes the versions as an attribute of the state dict.
    state._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]  # noqa: SLF001  # torch's only way
    network.load_state_dict(state, strict=True, assign=assign)
