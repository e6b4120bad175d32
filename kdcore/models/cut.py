"""Cuts a network off after one of its layers, without touching the network's code."""

from torch import fx, nn

from kdcore.catalog.layer_shapes import INPUT
from kdcore.errors import IncompatibleInputs


def cut_after(network: nn.Module, layer: str) -> nn.Module:
    """Make the network that gives what `layer` of `network` gives: its first part alone.

    The parts are shared with `network`, under the same names; what comes after is left out. Only
    the modules around `layer` are traced: those before and inside it run as they are, in
    whichever mode they are.

    Args:
        network: On any device, "meta" included.
        layer: As it is tapped: `layer3` for what it gives, `fc@input` for what it takes in.

    Raises:
        IncompatibleInputs: there is no such layer, or not just once in a forward pass.
    """
    name = layer.removesuffix(INPUT)
    graph = _TracerAround(name).trace(network)
    found = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(found) != 1:
        raise IncompatibleInputs(
            "unknown_layer",
            f"The backbone has no layer {name!r} that runs just once. Name another one.",
            pointer="/layer",
        )
    (node,) = found
    *_, end = graph.nodes
    is_input = layer.endswith(INPUT)
    end.args = (node.args[0] if is_input else node,)
    for after in reversed(graph.nodes):
        if after is node and not is_input:
            break
        if after is not end:
            graph.erase_node(after)
        if after is node:
            break
    return fx.GraphModule(network, graph)


class _TracerAround(fx.Tracer):
    """Looks into those modules alone that hold the module `name`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether to leave a module as it is."""
        del m
        return not self._name.startswith(f"{module_qualified_name}.")
