"""Runs a network and keeps the outputs of named layers, without touching the network's code.

B batch, C channels, H height, W width.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from kdcore.features.observation import Observation
from kdcore.models import Classifier

_INPUT = "@input"


class _AllTapped(Exception):
    """Every layer that was asked for has been seen."""


class Tapped(nn.Module):
    """A classifier whose network's layers can be read by name.

    A layer is named as `network.get_submodule` takes it and gives its output; `fc@input` is what
    the layer `fc` takes in, which is how the vector before a classifier is reached.

    Args:
        classifier: Shared, not copied; nothing stays on it after a pass.
        layers: Which layers to keep; may be empty.
        to_end: False stops the forward pass as soon as the last layer asked for was seen.
    """

    def __init__(
        self, classifier: Classifier, layers: Sequence[str] = (), *, to_end: bool = True
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.layers = tuple(dict.fromkeys(layers))
        self.to_end = to_end or not self.layers

    def forward(self, images_BCHW: torch.Tensor) -> Observation:
        """Take images_BCHW in [0, 1], give the logits and the layers asked for."""
        seen: dict[str, torch.Tensor] = {}
        hooks = [self._tap(name, seen) for name in self.layers]
        try:
            return Observation(self.classifier(images_BCHW), seen)
        except _AllTapped:
            return Observation(None, seen)
        finally:
            for hook in hooks:
                hook.remove()

    def _tap(self, name: str, seen: dict[str, torch.Tensor]) -> torch.utils.hooks.RemovableHandle:
        module = self.classifier.network.get_submodule(name.removesuffix(_INPUT))
        if name.endswith(_INPUT):
            return module.register_forward_pre_hook(self._keep_input(name, seen))
        return module.register_forward_hook(self._keep_output(name, seen))

    def _keep_output(
        self, name: str, seen: dict[str, torch.Tensor]
    ) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            self._keep(name, output, seen)

        return hook

    def _keep_input(
        self, name: str, seen: dict[str, torch.Tensor]
    ) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self._keep(name, inputs[0], seen)

        return hook

    def _keep(self, name: str, value: torch.Tensor, seen: dict[str, torch.Tensor]) -> None:
        seen[name] = value
        if not self.to_end and len(seen) == len(self.layers):
            raise _AllTapped
