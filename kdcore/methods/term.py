"""A term of an objective: one loss, with whatever it trains beside the student."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from kdcore.models import Classifier

if TYPE_CHECKING:
    from kdcore.methods.step import Step


class Term(nn.Module):
    """One loss. Its parameters train with the student, are kept in checkpoints, never exported.

    A subclass says in its attributes what must be computed for it, and computes a scalar.

    Attributes:
        name: What curves call it.
        student_layers: Layers of the student that `step.student.features` must hold.
        teacher_layers: Layers of the teacher that `step.teacher.features` must hold.
        needs_labels: Whether it reads `step.labels`.
        needs_teacher: Whether it reads `step.teacher` at all.
        needs_student_logits: False lets the student stop at its last tapped layer.
        needs_teacher_logits: False lets the teacher stop at its last tapped layer.
        relates_images: Whether its value is more than a mean over images, so that it must see the
            whole batch where several processes share it. Then `step.images_BCHW` has no rows.
    """

    name: str = ""
    student_layers: tuple[str, ...] = ()
    teacher_layers: tuple[str, ...] = ()
    needs_labels: bool = False
    needs_teacher: bool = True
    needs_student_logits: bool = True
    needs_teacher_logits: bool = True
    relates_images: bool = False

    def companions(self) -> Mapping[str, Classifier]:
        """Give the networks that learn beside the student, by what the report calls them."""
        return {}

    def forward(self, step: "Step") -> torch.Tensor:
        """Give the loss of one step, a scalar before weighting."""
        raise NotImplementedError(type(self).__name__)
