"""Adapters: they bring layers of the student to the channels of the teacher's.

They train beside the student in the stage that has them, and are never exported.

B batch.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from kdcore.catalog.layer_shapes import Shape
from kdcore.features import Observation
from kdcore.methods.drawing import drawing
from kdcore.methods.stage import MethodInputs
from kdcore.spec.methods.layers import Adapter, LayerPair


class AdaptedLayers(nn.Module):
    """Layers of the student as they are compared with the teacher's.

    A pair that is named twice has one adapter, so what the student's layer means to the teacher's
    is one thing wherever the two meet. A layer of the student that learns from two of the
    teacher's has one for each.

    Args:
        pairs: Checked already: see `kdcore.pairing`.
        inputs: Gives shapes, and the seed of the first weights.
    """

    def __init__(self, pairs: Sequence[LayerPair], inputs: MethodInputs) -> None:
        super().__init__()
        self._pairs = tuple(dict.fromkeys(pairs))
        self.adapters = nn.ModuleList()
        for index, pair in enumerate(self._pairs):
            with drawing(inputs.seed, f"adapter {index}"):
                adapter = make_adapter(
                    pair.adapter,
                    inputs.student_layers[pair.student],
                    inputs.teacher_layers[pair.teacher],
                )
            self.adapters.append(adapter)

    def forward(self, student: Observation) -> Mapping[LayerPair, torch.Tensor]:
        """Give the student's layer of every pair, in the teacher's channels, batch first."""
        return {
            pair: adapter(student.features[pair.student])
            for pair, adapter in zip(self._pairs, self.adapters, strict=True)
        }


def make_adapter(kind: Adapter, student: Shape, teacher: Shape) -> nn.Module:
    """Make what takes a student's layer to as many channels as the teacher's.

    It has a bias and is linear: the teacher's non-linearity is not repeated after it.

    Args:
        kind: `conv1x1` for maps (channels, height, width), `linear` for vectors and for each
            token of a sequence, `none` to leave the layer as it is.
        student: Shape of one image's layer.
        teacher: The same of the teacher; only its channels count.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "conv1x1":
        return nn.Conv2d(student[0], teacher[0], 1)
    return nn.Linear(student[-1], teacher[-1])
