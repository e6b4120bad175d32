"""Finds a network's layers by name, whatever the network is wrapped in."""

import difflib
from collections.abc import Iterator

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kdcore.catalog.layer_shapes import INPUT
from kdcore.errors import IncompatibleInputs


def unwrapped(module: nn.Module) -> nn.Module:
    """Give the module inside DistributedDataParallel and torch.compile, or `module` itself."""
    while (inner := _inner(module)) is not None:
        module = inner
    return module


def network_of(classifier: nn.Module) -> nn.Module:
    """Give the network of a `kdcore.models.Classifier` that may be wrapped."""
    return unwrapped(classifier).get_submodule("network")


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Give the layer that `name` means, as `network.get_submodule` would without wrappers.

    `fc` and `fc@input` mean the same layer. Wrappers around the network, or around parts of it,
    have no part in names.

    Raises:
        IncompatibleInputs: there is no such layer; names those that are spelt most like it.
    """
    layer = unwrapped(network)
    for part in name.removesuffix(INPUT).split("."):
        child = dict(layer.named_children()).get(part)
        if child is None:
            raise _unknown(network, name)
        layer = unwrapped(child)
    return layer


def is_compiled(module: nn.Module) -> bool:
    """Whether `module` or a part of it is under torch.compile."""
    return any(
        _compiled_from(part) is not None or part._compiled_call_impl is not None  # noqa: SLF001  # where `compile()` leaves its trace
        for part in module.modules()
    )


def is_distributed(module: nn.Module) -> bool:
    """Whether `module` or a part of it averages its gradients over processes."""
    return any(isinstance(part, DistributedDataParallel) for part in module.modules())


def _inner(module: nn.Module) -> nn.Module | None:
    if isinstance(module, DistributedDataParallel):
        inner: nn.Module = module.module
        return inner
    return _compiled_from(module)


def _compiled_from(module: nn.Module) -> nn.Module | None:
    # Asking for the class would load all of dynamo; and other modules have no such part.
    return module._modules.get("_orig_mod")  # noqa: SLF001  # torch's name for it


def _unknown(network: nn.Module, name: str) -> IncompatibleInputs:
    names = list(_names(unwrapped(network), prefix=""))
    close = difflib.get_close_matches(name.removesuffix(INPUT), names, n=3)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else ""
    top = ", ".join(each for each in names if "." not in each)
    return IncompatibleInputs(
        "unknown_layer",
        f"The network has no layer {name!r}. {hint or f'Its largest parts are {top}.'}",
        pointer="/method/layers",
    )


def _names(module: nn.Module, *, prefix: str) -> Iterator[str]:
    for part, child in module.named_children():
        yield f"{prefix}{part}"
        yield from _names(unwrapped(child), prefix=f"{prefix}{part}.")
