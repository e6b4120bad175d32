"""A term that compares layers of the student with layers of the teacher, pair by pair."""

from collections.abc import Callable, Sequence

import torch

from kdcore.methods.adapters import AdaptedLayers
from kdcore.methods.stage import MethodInputs
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.spec.methods import LayerPair

LayerLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a layer of the student and one of the teacher, batch first, to a scalar."""


class PairTerm(Term):
    """Σ over pairs of layers of `loss`, each layer of the student through its pair's adapter."""

    needs_student_logits = False
    needs_teacher_logits = False

    def __init__(
        self, name: str, loss: LayerLoss, pairs: Sequence[LayerPair], inputs: MethodInputs
    ) -> None:
        super().__init__()
        self.name = name
        self.student_layers = tuple(pair.student for pair in pairs)
        self.teacher_layers = tuple(pair.teacher for pair in pairs)
        self.adapted = AdaptedLayers(pairs, inputs)
        self._loss = loss
        self._pairs = tuple(pairs)

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run.
        """
        if step.teacher is None:
            raise ValueError(f"{self.name} needs a teacher.")
        adapted, teacher = self.adapted(step.student), step.teacher.features
        losses = [self._loss(adapted[pair], teacher[pair.teacher]) for pair in self._pairs]
        return torch.stack(losses).sum()
