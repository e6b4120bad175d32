"""Whether the layers of a pair are there, and whether their shapes may stand beside each other."""

import difflib
from dataclasses import dataclass

from kdcore.catalog.layer_shapes import LayerShapes, Shape
from kdcore.errors import IncompatibleInputs
from kdcore.pairing.network_stages import is_map
from kdcore.spec.methods import FlowPair, LayerPair
from kdcore.spec.methods.base import FittingShapes
from kdcore.spec.methods.layers import Adapter

_NAMES_SHOWN = 8


@dataclass(frozen=True)
class TwoNetworks:
    """The layers of both networks that can be tapped, in the order of a forward pass."""

    student: LayerShapes
    teacher: LayerShapes

    def shape_in_student(self, name: str, *, pointer: str) -> Shape:
        """Give the shape of a layer of the student. Raises IncompatibleInputs."""
        return _shape_of(name, self.student, whose="student", pointer=pointer)

    def shape_in_teacher(self, name: str, *, pointer: str) -> Shape:
        """Give the shape of a layer of the teacher. Raises IncompatibleInputs."""
        return _shape_of(name, self.teacher, whose="teacher", pointer=pointer)


def check_pair(
    pair: LayerPair, fitting: FittingShapes, networks: TwoNetworks, *, pointer: str
) -> None:
    """Check one pair against the shapes that its method takes.

    Raises:
        IncompatibleInputs: with both shapes, and a pointer into the pair at `pointer`.
    """
    student = networks.shape_in_student(pair.student, pointer=f"{pointer}/student")
    teacher = networks.shape_in_teacher(pair.teacher, pointer=f"{pointer}/teacher")
    both = _both(pair.student, student, pair.teacher, teacher)
    if fitting in ("equal_channels", "equal_size", "maps"):
        _check_is_map(student, both, pointer=f"{pointer}/student")
        _check_is_map(teacher, both, pointer=f"{pointer}/teacher")
    if fitting in ("equal_size", "maps", "any"):
        _check_without_adapter(pair.adapter, both, pointer=f"{pointer}/adapter")
    else:
        _check_channels(student, teacher, pair.adapter, both, pointer=f"{pointer}/adapter")
    if fitting in ("equal", "equal_size") and _sides(student) != _sides(teacher):
        raise IncompatibleInputs(
            "layer_sizes_differ",
            f"{both}: they must have the same height and width. Choose layers of one size.",
            pointer=pointer,
        )


def check_flow(pair: FlowPair, networks: TwoNetworks, *, pointer: str) -> None:
    """Check that a flow is between maps whose channels are, or are brought to, the teacher's.

    Raises:
        IncompatibleInputs: with both shapes, and a pointer into the pair at `pointer`.
    """
    for index, (student_name, teacher_name) in enumerate(
        zip(pair.student, pair.teacher, strict=True)
    ):
        at_student, at_teacher = f"{pointer}/student/{index}", f"{pointer}/teacher/{index}"
        student = networks.shape_in_student(student_name, pointer=at_student)
        teacher = networks.shape_in_teacher(teacher_name, pointer=at_teacher)
        both = _both(student_name, student, teacher_name, teacher)
        _check_is_map(student, both, pointer=at_student)
        _check_is_map(teacher, both, pointer=at_teacher)
        _check_channels(student, teacher, pair.adapter, both, pointer=f"{pointer}/adapter")


def fitting_adapter(shape: Shape) -> Adapter:
    """Name the adapter for layers of this shape."""
    return "conv1x1" if is_map(shape) else "linear"


def channels_of(shape: Shape) -> int:
    """Give what an adapter changes: channels of a map, features of a vector or of each token."""
    return shape[0] if is_map(shape) else shape[-1]


def list_names(layers: LayerShapes) -> str:
    """Name a few layers with their shapes, the largest parts of the network first."""
    names = sorted(layers, key=lambda name: name.count("."))
    shown = ", ".join(f"{name} ({_text(layers[name])})" for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown}, … {len(names)} in all"


def _shape_of(name: str, layers: LayerShapes, *, whose: str, pointer: str) -> Shape:
    if name in layers:
        return layers[name]
    close = difflib.get_close_matches(name, layers, n=3)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise IncompatibleInputs(
        "unknown_layer",
        f"The {whose} has no layer {name!r} that can be tapped. {hint}It has {list_names(layers)}.",
        pointer=pointer,
    )


def _check_is_map(shape: Shape, both: str, *, pointer: str) -> None:
    if not is_map(shape):
        raise IncompatibleInputs(
            "layer_is_no_map",
            f"{both}: this method compares maps of channels x height x width.",
            pointer=pointer,
        )


def _check_without_adapter(adapter: Adapter, both: str, *, pointer: str) -> None:
    if adapter != "none":
        raise IncompatibleInputs(
            "adapter_not_used",
            f"{both}: this method takes layers of different channels as they are, so an adapter "
            'means nothing. Set adapter to "none".',
            pointer=pointer,
        )


def _check_channels(
    student: Shape, teacher: Shape, adapter: Adapter, both: str, *, pointer: str
) -> None:
    wanted = fitting_adapter(student)
    if len(student) != len(teacher):
        raise IncompatibleInputs(
            "layer_shapes_differ",
            f"{both}: a map, a vector and a sequence are never compared with one another. Choose "
            "layers of one kind.",
            pointer=pointer.removesuffix("/adapter"),
        )
    if adapter not in ("none", wanted):
        raise IncompatibleInputs(
            "adapter_does_not_fit",
            f"{both}: {adapter} does not work on such layers; {wanted} does.",
            pointer=pointer,
        )
    if adapter == "none" and channels_of(student) != channels_of(teacher):
        raise IncompatibleInputs(
            "layer_channels_differ",
            f'{both}: their channels differ. Set adapter to "{wanted}", or choose other layers.',
            pointer=pointer,
        )


def _sides(shape: Shape) -> Shape:
    """Give all of a shape but the channels."""
    return shape[1:] if is_map(shape) else shape[:-1]


def _both(student_name: str, student: Shape, teacher_name: str, teacher: Shape) -> str:
    return (
        f"The student's {student_name} gives {_text(student)} and the teacher's {teacher_name} "
        f"gives {_text(teacher)}"
    )


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
