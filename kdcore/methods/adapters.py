"""Adapters: they bring layers of the student to the channels of the teacher's.

They train beside the student in the stage that has them, and are never exported.

B batch.
"""

from collections.abc import Sequence

import torch
from torch import nn

from kdcore.catalog.layer_shapes import LayerShapes, Shape
from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation
from kdcore.methods.stage import MethodInputs
from kdcore.seeds import derive_seed
from kdcore.spec.methods.layers import Adapter, LayerPair


class AdaptedLayers(nn.Module):
    """Layers of the student as they are compared with the teacher's.

    A pair that is named twice has one adapter, so what the student's layer means to the teacher's
    is one thing wherever the two meet. A layer of the student that learns from two of the
    teacher's has one for each.

    Args:
        pairs: At least one.
        inputs: Gives shapes, and the seed of the first weights.

    Raises:
        IncompatibleInputs: a layer is unknown, or what the adapter gives has other channels than
            the teacher's layer.
    """

    def __init__(self, pairs: Sequence[LayerPair], inputs: MethodInputs) -> None:
        super().__init__()
        if not pairs:
            raise ValueError("Comparing layers needs at least one pair of them.")
        unique = tuple(dict.fromkeys(pairs))
        self._position = {pair: index for index, pair in enumerate(unique)}
        self.adapters = nn.ModuleList(
            build_adapter(
                pair.adapter,
                _shape_of(pair.student, inputs.student_layers, whose="student"),
                _shape_of(pair.teacher, inputs.teacher_layers, whose="teacher"),
                seed=derive_seed(inputs.seed, "adapter", index),
            )
            for index, pair in enumerate(unique)
        )

    def forward(self, pair: LayerPair, student: Observation) -> torch.Tensor:
        """Give the student's layer of `pair`, in the teacher's channels, batch first."""
        adapted: torch.Tensor = self.adapters[self._position[pair]](student.features[pair.student])
        return adapted


def build_adapter(kind: Adapter, student: Shape, teacher: Shape, *, seed: int) -> nn.Module:
    """Build what takes a student's layer to as many channels as the teacher's.

    It has a bias and is linear: the teacher's non-linearity is not repeated after it. The weights
    depend on `seed` alone, and torch's global generator is left as it was.

    Args:
        kind: `conv1x1` for maps (channels, height, width), `linear` for vectors and for each
            token of a sequence, `none` to leave the layer as it is.
        student: Shape of one image's layer.
        teacher: The same of the teacher; only its channels count.
        seed: Of the first weights.

    Raises:
        IncompatibleInputs: with both shapes, if the layers cannot be compared through this kind.
    """
    is_map = len(student) == 3
    fitting: Adapter = "conv1x1" if is_map else "linear"
    entering, leaving = (shape[0] if is_map else shape[-1] for shape in (student, teacher))
    is_wrong_kind = kind not in ("none", fitting)
    if is_wrong_kind or len(student) != len(teacher) or (kind == "none" and entering != leaving):
        raise IncompatibleInputs(
            "layer_shapes_differ",
            f"The student's layer gives {_text(student)} and the teacher's gives "
            f"{_text(teacher)}; the adapter {kind!r} does not bring them together. Maps take "
            "'conv1x1', vectors 'linear'.",
            pointer="/method/layers",
        )
    if kind == "none":
        return nn.Identity()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return nn.Conv2d(entering, leaving, 1) if is_map else nn.Linear(entering, leaving)


def _shape_of(name: str, layers: LayerShapes, *, whose: str) -> Shape:
    if name not in layers:
        raise IncompatibleInputs(
            "unknown_layer",
            f"The {whose} has no layer {name!r} that can be tapped.",
            pointer="/method/layers",
        )
    return layers[name]


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
