"""Choosing the layers of a method: one rule for each `PAIRING` that a method can declare."""

from collections.abc import Sequence
from math import prod

from kdcore.errors import IncompatibleInputs
from kdcore.pairing.fit import TwoNetworks, channels_of, fitting_adapter, list_names
from kdcore.pairing.network_stages import (
    embedding,
    has_maps,
    hidden_vectors,
    last_map,
    stage_ends,
    stage_flows,
)
from kdcore.spec.methods import FlowPair, LayerPair, MethodFields
from kdcore.spec.methods.base import FittingShapes

Pairs = tuple[LayerPair | FlowPair, ...]
Names = tuple[str, str]
"""Of a layer of the student, and of one of the teacher."""


def choose_layers(method: MethodFields, networks: TwoNetworks) -> Pairs:
    """Choose layers by the rule that the method declares.

    Raises:
        IncompatibleInputs: `no_layers_to_pair`, naming layers of both networks.
    """
    pairs = _apply_rule(method, networks)
    if not pairs:
        raise IncompatibleInputs(
            "no_layers_to_pair",
            "No layer of the student and layer of the teacher go together by their shapes. Name "
            f"them in method.layers. The student has {list_names(networks.student)}; the teacher "
            f"has {list_names(networks.teacher)}.",
            pointer="/method/layers",
        )
    return pairs


def _apply_rule(method: MethodFields, networks: TwoNetworks) -> Pairs:
    fitting = method.SHAPES
    match method.PAIRING:
        case "none":
            return ()
        case "stages":
            large = _with_places(_ends(fitting, networks), method.FEWEST_PLACES, networks)
            return tuple(_pair(names, fitting, networks) for names in large)
        case "middle":
            names = _middle(_ends(fitting, networks))
            return tuple(_pair(each, fitting, networks, always_adapted=True) for each in names)
        case "flows":
            return _flows(networks)
        case "embedding":
            return tuple(_pair(names, fitting, networks) for names in _embeddings(networks))
        case "last_map":
            names = _last_maps(networks)
            return tuple(_pair(each, fitting, networks) for each in names)


def _ends(fitting: FittingShapes, networks: TwoNetworks) -> Sequence[Names]:
    """Pair the ends of stages by size; hidden vectors where a network has no maps at all."""
    if has_maps(networks.student) and has_maps(networks.teacher):
        ends = stage_ends(networks.teacher)
        return [
            (end, ends[size]) for size, end in stage_ends(networks.student).items() if size in ends
        ]
    if fitting not in ("equal", "any"):
        return []
    from_the_end = zip(
        hidden_vectors(networks.student)[::-1],
        hidden_vectors(networks.teacher)[::-1],
        strict=False,  # what the deeper network has more lies before
    )
    return list(from_the_end)[::-1]


def _with_places(names: Sequence[Names], fewest: int, networks: TwoNetworks) -> Sequence[Names]:
    """Leave out maps with fewer places, but not the first and largest of all."""
    return [
        (student, teacher)
        for index, (student, teacher) in enumerate(names)
        if index == 0 or prod(networks.student[student][1:]) >= fewest
    ]


def _middle(names: Sequence[Names]) -> Sequence[Names]:
    # Of an even number the earlier one: the deeper the hint, the less freedom it leaves.
    middle = (len(names) - 1) // 2
    return names[middle : middle + 1]


def _flows(networks: TwoNetworks) -> Pairs:
    flows = stage_flows(networks.teacher)
    return tuple(
        _flow(flow, flows[size], networks)
        for size, flow in stage_flows(networks.student).items()
        if size in flows
    )


def _flow(student: Names, teacher: Names, networks: TwoNetworks) -> FlowPair:
    channels = [channels_of(networks.student[name]) for name in student]
    wanted = [channels_of(networks.teacher[name]) for name in teacher]
    return FlowPair(
        student=student,
        teacher=teacher,
        adapter="none" if channels == wanted else "conv1x1",
    )


def _embeddings(networks: TwoNetworks) -> Sequence[Names]:
    student, teacher = embedding(networks.student), embedding(networks.teacher)
    return [] if student is None or teacher is None else [(student, teacher)]


def _last_maps(networks: TwoNetworks) -> Sequence[Names]:
    """Pair the last maps, if the teacher's can be what its classifier takes the average of."""
    vectors = _embeddings(networks)
    for _, vector in vectors:
        (width,) = networks.teacher[vector]
        student, teacher = last_map(networks.student), last_map(networks.teacher, channels=width)
        if student is not None and teacher is not None:
            return [(student, teacher)]
    return vectors


def _pair(
    names: Names, fitting: FittingShapes, networks: TwoNetworks, *, always_adapted: bool = False
) -> LayerPair:
    student, teacher = names
    shape, wanted = networks.student[student], networks.teacher[teacher]
    is_adapted = always_adapted or channels_of(shape) != channels_of(wanted)
    copes_alone = fitting in ("equal_size", "maps", "any")
    adapter = fitting_adapter(shape) if is_adapted and not copes_alone else "none"
    return LayerPair(student=student, teacher=teacher, adapter=adapter)
