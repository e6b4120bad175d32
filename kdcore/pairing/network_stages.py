"""The stages of one network, read off the names and shapes of its layers.

A stage is a stretch in which maps keep their height and width. A name with fewer dots is a larger
part of the network: `layer2` holds `layer2.0`, which holds `layer2.0.conv1`.
"""

from collections.abc import Mapping

from kdcore.catalog.layer_shapes import INPUT, LayerShapes, Shape

Size = tuple[int, int]
"""Height and width of a map."""

# Rounding and unpadded convolutions take a few pixels off each side of a map.
_PIXELS_OFF_THE_RATIO = 2


def is_map(shape: Shape) -> bool:
    """Whether a layer gives channels x height x width."""
    return len(shape) == 3


def has_maps(layers: LayerShapes) -> bool:
    """Whether the network has any map at all; one on flat vectors has none."""
    return any(is_map(shape) for shape in layers.values())


def stage_ends(layers: LayerShapes) -> Mapping[Size, str]:
    """Give the layer that ends each stage, by the size of its maps, largest first.

    Of the layers of one size it is the largest part of the network; among equally large ones a
    part that holds others goes before a single operation (a pooling, or the BatchNorm that
    begins the next stage), and then the last one counts. Maps of 1x1 have no space left in them,
    and maps larger than those before (a pooling up to a fixed size) begin nothing new.
    """
    with_parts = {name.rpartition(".")[0] for name in layers}

    def largeness(name: str) -> tuple[int, bool]:
        return -_depth(name), name in with_parts

    ends: dict[Size, str] = {}
    for name in _maps(layers):
        size = _size(layers[name])
        if size not in ends or largeness(name) >= largeness(ends[size]):
            ends[size] = name
    order = {name: position for position, name in enumerate(layers)}
    shrinking: dict[Size, str] = {}
    for size, name in sorted(ends.items(), key=lambda item: order[item[1]]):
        if all(size[0] * size[1] < kept[0] * kept[1] for kept in shrinking):
            shrinking[size] = name
    return shrinking


def stage_flows(layers: LayerShapes) -> Mapping[Size, tuple[str, str]]:
    """Give the layers that begin and end each stage; one with a single layer is left out.

    The begin is the first layer of that size that is as large a part of the network as the end;
    if that is the end itself, the first among its parts.
    """
    ends = stage_ends(layers)
    starts = {size: _stage_start(size, end, layers) for size, end in ends.items()}
    return {size: (start, ends[size]) for size, start in starts.items() if start is not None}


def hidden_vectors(layers: LayerShapes) -> tuple[str, ...]:
    """Name the vectors that linear layers take in, first to last.

    In a network without maps the first of them are the pixels, which are left out.
    """
    vectors = [name for name, shape in layers.items() if name.endswith(INPUT) and len(shape) == 1]
    return tuple(vectors if has_maps(layers) else vectors[1:])


def embedding(layers: LayerShapes) -> str | None:
    """Name what the last linear layer takes in; None if there is no such vector."""
    vectors = [name for name, shape in layers.items() if name.endswith(INPUT) and len(shape) == 1]
    return vectors[-1] if vectors else None


def last_map(layers: LayerShapes, *, channels: int | None = None) -> str | None:
    """Name the last map with more than one pixel, of those with so many channels; None if none."""
    names = [name for name in _maps(layers) if channels in (None, layers[name][0])]
    return names[-1] if names else None


def _maps(layers: LayerShapes) -> list[str]:
    """Name the layers whose output is a map with more than one pixel.

    Some networks (convnext, swin) work with the channels last inside; the sides of their arrays
    are then in another ratio than those of the first map, which is always a true one.
    """
    shapes = {
        name: shape for name, shape in layers.items() if is_map(shape) and not name.endswith(INPUT)
    }
    if not shapes:
        return []
    first = _size(next(iter(shapes.values())))
    return [
        name
        for name, shape in shapes.items()
        if shape[1] * shape[2] > 1 and _have_one_ratio(_size(shape), first)
    ]


def _have_one_ratio(size: Size, first: Size) -> bool:
    return abs(size[0] * first[1] - size[1] * first[0]) <= _PIXELS_OFF_THE_RATIO * sum(first)


def _size(shape: Shape) -> Size:
    return shape[1], shape[2]


def _depth(name: str) -> int:
    return name.count(".")


def _stage_start(size: Size, end: str, layers: LayerShapes) -> str | None:
    names = list(layers)
    before = names[: names.index(end)]
    # The last part of the end, and its last part in turn, finish together with it.
    together = end
    while before and before[-1].startswith(f"{together}."):
        together = before.pop()
    earlier = set(before)
    candidates = [name for name in _maps(layers) if name in earlier and _size(layers[name]) == size]
    return min(candidates, key=_depth, default=None)  # the first of the largest parts
