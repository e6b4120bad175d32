"""Which layers of a network can be tapped by name, and what they give.

B batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from kdcore.models.build import build_network
from kdcore.models.dry_run import dry_run
from kdcore.spec.networks import NetworkDescription

_BATCH = 2


@dataclass(frozen=True)
class LayerShape:
    """A layer's name, as in `network.get_submodule(name)`, and its output's shape of one image."""

    name: str
    shape: tuple[int, ...]


def tappable_layers(description: NetworkDescription) -> tuple[LayerShape, ...]:
    """List layers and stages whose output is one tensor per image, in the order they finish.

    A module that runs several times in one pass (torchvision reuses its ReLUs) has no one
    output and is left out, as is one whose first dimension is not the batch.

    Raises:
        SpecInvalid, IncompatibleInputs: as `build_network`.
    """
    network = build_network(description, device="meta")
    outputs: dict[str, list[object]] = {}
    for name, module in network.named_modules():
        if name:
            module.register_forward_hook(_record(outputs, name))
    dry_run(network, description.input, batch_size=_BATCH)
    return tuple(
        LayerShape(name, tuple(output.shape[1:]))
        for name, (output, *more) in outputs.items()
        if not more
        and isinstance(output, torch.Tensor)
        and output.dim() > 1
        and output.shape[0] == _BATCH
    )


def _record(
    outputs: dict[str, list[object]], name: str
) -> Callable[[nn.Module, object, object], None]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        outputs.setdefault(name, []).append(output)

    return hook
