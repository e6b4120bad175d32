"""From a method whose layers may be left out to one that names layers which fit."""

from typing import TypeVar

from kdcore.catalog.layer_shapes import LayerShapes
from kdcore.pairing.choice import Pairs, choose_layers
from kdcore.pairing.fit import TwoNetworks, check_flow, check_pair
from kdcore.spec.methods import FlowPair, MethodFields

MethodT = TypeVar("MethodT", bound=MethodFields)


def has_pairs(method: MethodFields) -> bool:
    """Whether the method compares layers by name, chosen already or not."""
    return method.PAIRING != "none"


def resolve_layers(method: MethodT, *, student: LayerShapes, teacher: LayerShapes) -> MethodT:
    """Fill in `layers` where they are left out, check them where they are given.

    What comes out goes in again unchanged.

    Args:
        method: Its class says how layers are chosen and which shapes fit: see `MethodFields`.
        student: Every layer of the student that can be tapped, in the order of a forward pass.
        teacher: The same of the teacher.

    Raises:
        IncompatibleInputs: no layers of the two go together, a name is not a layer, or the
            shapes of a pair do not fit; with a pointer such as `/method/layers/0/adapter`.
    """
    if not has_pairs(method):
        return method
    networks = TwoNetworks(student, teacher)
    given: Pairs = getattr(method, "layers", ())
    layers = given or choose_layers(method, networks)
    for index, pair in enumerate(layers):
        pointer = f"/method/layers/{index}"
        if isinstance(pair, FlowPair):
            check_flow(pair, networks, pointer=pointer)
        else:
            check_pair(pair, method.SHAPES, networks, pointer=pointer)
    return method if given else method.model_copy(update={"layers": layers})
