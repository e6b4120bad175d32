"""Runs a network and keeps the outputs of named layers, without touching the network's code.

B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from kdcore.catalog.layer_shapes import INPUT
from kdcore.errors import IncompatibleInputs
from kdcore.features.naming import find_layer, is_compiled, is_distributed, network_of
from kdcore.features.observation import Observation

Seen = dict[str, torch.Tensor]


class _AllTapped(Exception):
    """Every layer that was asked for has been seen."""


class Tapped(nn.Module):
    """A classifier whose network's layers can be read by name.

    A layer is named as `network.get_submodule` takes it and gives its output; `fc@input` is what
    the layer `fc` takes in, which is how the vector before a classifier is reached. What is kept
    is a copy that gradients flow through: a ReLU that works in place overwrites what the layer
    before it gave, and that must not reach the loss.

    Wrappers have no part in names. To spread it over processes, wrap this module:
    `DistributedDataParallel(Tapped(...))`, with `find_unused_parameters` where it does not run to
    its end; a network that is distributed inside always runs to its end, for otherwise its
    gradients would not be averaged. Under torch.compile, inside or around, a pass with taps runs
    uncompiled: a graph that was made without the taps would pass over them.

    Args:
        classifier: A `kdcore.models.Classifier`. Shared, not copied; nothing stays on it after a
            pass.
        layers: Which layers to keep; may be empty.
        to_end: False stops the forward pass as soon as the last layer asked for was seen.

    Raises:
        IncompatibleInputs: a layer does not exist; the message has names like it.
    """

    def __init__(
        self, classifier: nn.Module, layers: Sequence[str] = (), *, to_end: bool = True
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.layers = tuple(dict.fromkeys(layers))
        for name in self.layers:
            find_layer(network_of(classifier), name)
        self.to_end = to_end or not self.layers or is_distributed(classifier)
        self._is_compiled_inside = is_compiled(classifier)
        if self.layers:
            # Here, not on import: it loads all of dynamo, as does any optimizer.
            self._observe = torch.compiler.disable(_observe)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def forward(self, images_BCHW: torch.Tensor) -> Observation:
        """Take images_BCHW in [0, 1], give the logits and the layers asked for.

        Raises:
            IncompatibleInputs: a layer runs never or, as far as the pass goes, more than once; or
                it gives anything but a tensor with the batch first.
        """
        if not self.layers:
            return Observation(self.classifier(images_BCHW))
        observation: Observation = self._observe(self, images_BCHW)
        return observation

    def tap(self, name: str, seen: Seen, *, batch_size: int) -> RemovableHandle:
        """Put a hook on one layer that copies its value into `seen`."""

        def keep(value: object) -> None:
            if name in seen:
                raise _untappable(name, "it runs more than once in a forward pass")
            if not isinstance(value, torch.Tensor) or value.shape[:1] != (batch_size,):
                raise _untappable(name, "it is not one tensor with the batch first")
            seen[name] = value.clone()
            if not self.to_end and len(seen) == len(self.layers):
                raise _AllTapped

        layer = find_layer(network_of(self.classifier), name)
        if name.endswith(INPUT):
            return layer.register_forward_pre_hook(lambda _layer, inputs: keep(inputs[0]))
        return layer.register_forward_hook(lambda _layer, _inputs, output: keep(output))

    def stance(self) -> AbstractContextManager[object]:
        """Keep what is compiled inside from running its graphs."""
        if not self._is_compiled_inside:
            return nullcontext()
        stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
        return stance


def _observe(tapped: Tapped, images_BCHW: torch.Tensor) -> Observation:
    seen: Seen = {}
    hooks = [tapped.tap(name, seen, batch_size=len(images_BCHW)) for name in tapped.layers]
    try:
        with tapped.stance():
            logits_BC = tapped.classifier(images_BCHW)
    except _AllTapped:
        return Observation(None, seen)
    finally:
        for hook in hooks:
            hook.remove()
    for name in tapped.layers:
        if name not in seen:
            raise _untappable(name, "it does not run in a forward pass")
    return Observation(logits_BC, seen)


def _untappable(name: str, why: str) -> IncompatibleInputs:
    return IncompatibleInputs(
        "layer_cannot_be_tapped",
        f"The layer {name!r} cannot be tapped: {why}. Choose a layer around it, or beside it.",
        pointer="/method/layers",
    )
