"""Which layers of a network can be tapped by name, and what they give.

B batch.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn

from kdcore.catalog.layer_shapes import INPUT, LayerShape
from kdcore.models.build import build_network
from kdcore.models.dry_run import dry_run
from kdcore.spec.networks import NetworkDescription

_BATCH = 2
# A job asks several times, about its few networks: to check it, and for every run that it plans.
_REMEMBERED = 32

Seen = dict[str, list[object]]
"""By name, in the order of the forward pass, every value that was seen under it."""


@lru_cache(maxsize=_REMEMBERED)
def tappable_layers(description: NetworkDescription) -> tuple[LayerShape, ...]:
    """List what can be tapped: one tensor per image and name, in the order of a forward pass.

    That is what layers and whole stages give, under their name as in
    `network.get_submodule(name)`, and what linear layers take in, under `<name>@input`. A module
    that runs several times in one pass (torchvision reuses its ReLUs) has no one output and is
    left out, as is one whose first dimension is not the batch.

    Raises:
        SpecInvalid, IncompatibleInputs: as `build_network`.
    """
    network = build_network(description, device="meta")
    seen: Seen = {}
    for name, module in network.named_modules():
        if not name:
            continue
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(_record_input(seen, f"{name}{INPUT}"))
        module.register_forward_hook(_record_output(seen, name))
    dry_run(network, description.input, batch_size=_BATCH)
    return tuple(
        LayerShape(name, tuple(value.shape[1:]))
        for name, (value, *more) in seen.items()
        if not more
        and isinstance(value, torch.Tensor)
        and value.dim() > 1
        and value.shape[0] == _BATCH
    )


def _record_output(seen: Seen, name: str) -> Callable[[nn.Module, object, object], None]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        seen.setdefault(name, []).append(output)

    return hook


def _record_input(seen: Seen, name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
    def hook(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        seen.setdefault(name, []).append(inputs[0])

    return hook
