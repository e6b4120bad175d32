"""How far a layer of the student is from one of the teacher, and the sum of that over pairs.

B batch, n numbers of one image's layer (channels times height times width of a map).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from kdcore.methods.adapters import AdaptedLayers
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.stage import MethodInputs
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.spec.methods import LayerPair

LayerLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a layer of the student and one of the teacher, batch first, to a scalar."""


def layer_distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Compute 1/(B·n) · Σ_B ‖F_s − F_t‖² of two layers of one shape, a scalar.

    Squares are averaged over the batch and over the n numbers of a layer, so that the size of a
    layer changes neither a weight nor a learning rate. Computed in float32, or float64 for
    float64 layers, also inside autocast.
    """
    with no_autocast(student):
        student, teacher = full_precision(student, teacher)
        return F.mse_loss(student, teacher)


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
        losses = [
            self._loss(self.adapted(pair, step.student), step.teacher.features[pair.teacher])
            for pair in self._pairs
        ]
        return torch.stack(losses).sum()
