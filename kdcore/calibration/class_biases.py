"""The biases of a network's classes: those of the linear layer that gives its logits.

C classes.
"""

from collections.abc import Callable

import torch
from torch import nn

from kdcore.models.dry_run import dry_run
from kdcore.spec.networks import ImageInput

Hook = Callable[[nn.Module, object, object], None]


def class_biases(network: nn.Module, image: ImageInput) -> nn.Parameter | None:
    """Find the bias_C of the linear layer whose output is the network's own.

    None where there is none: the logits come from a layer of another kind, or from one without
    bias. `kdcore.catalog.class_biases` tells the same of an architecture without building it.
    """
    finished: list[tuple[nn.Module, object]] = []
    hooks = [
        module.register_forward_hook(_note(finished))
        for module in network.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        logits_BC = dry_run(network, image)
    finally:
        for hook in hooks:
            hook.remove()
    layer = next((module for module, output in finished if output is logits_BC), None)
    return layer.bias if isinstance(layer, nn.Linear) else None


def add_to_class_biases(network: nn.Module, image: ImageInput, offsets_C: torch.Tensor) -> None:
    """Shift every logit of the network by its class's offset, for good.

    Raises:
        ValueError: the network has no class biases.
    """
    bias_C = class_biases(network, image)
    if bias_C is None:
        raise ValueError("The network's last layer is not linear with a bias.")
    with torch.no_grad():
        bias_C.copy_(bias_C.double() + offsets_C.to(bias_C.device))


def _note(finished: list[tuple[nn.Module, object]]) -> Hook:
    def hook(module: nn.Module, _inputs: object, output: object) -> None:
        finished.append((module, output))

    return hook
