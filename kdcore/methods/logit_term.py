"""A term that compares the student's logits with the teacher's.

B batch, C classes.
"""

from collections.abc import Callable

import torch

from kdcore.methods.step import Step
from kdcore.methods.term import Term

LogitLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From student_logits_BC and teacher_logits_BC to a scalar."""


class LogitTerm(Term):
    """Applies `loss` to both networks' logits, which must have the same shape."""

    def __init__(self, name: str, loss: LogitLoss, *, relates_images: bool = False) -> None:
        super().__init__()
        self.name = name
        self.relates_images = relates_images
        self._loss = loss

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run, or the two logits differ in shape.
        """
        return self._loss(*matching_logits(step, self.name))


def matching_logits(step: Step, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Take student_logits_BC and teacher_logits_BC out of a step, for the term `name`.

    Raises:
        ValueError: the teacher was not run, or the two logits differ in shape.
    """
    if step.teacher is None:
        raise ValueError(f"{name} needs a teacher.")
    student_BC, teacher_BC = step.student.logits, step.teacher.logits
    # kl_div would silently broadcast one against the other.
    if student_BC.shape != teacher_BC.shape:
        raise ValueError(
            f"Student logits {tuple(student_BC.shape)} and teacher logits "
            f"{tuple(teacher_BC.shape)} differ in shape."
        )
    return student_BC, teacher_BC
