"""Several teachers that answer as one.

K teachers, B batch, C channels (images) or classes (logits), H height, W width.
"""

import hashlib
from collections.abc import Sequence
from typing import Self

import torch
from torch import nn

from kdcore.averaging import mean_of_logits, mean_of_probabilities
from kdcore.features import Observation
from kdcore.spec.jobs import TeacherAverage
from kdcore.teacher.frozen import Teacher


class Ensemble(nn.Module):
    """Asks every teacher and gives the weighted mean of their answers, as logits.

    The mean of probabilities is that of softmax(z/T) at one temperature T, given as the logits
    whose softmax at T it is: every loss takes it as it takes one teacher's logits. Each teacher
    keeps its own normalisation and input size, and is frozen like one that teaches alone.

    Args:
        teachers: Two or more with the same classes.
        weights: One positive number a teacher; only their proportions count.
        average: What is averaged.
        temperature: T of the mean of probabilities.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        *,
        weights: Sequence[float],
        average: TeacherAverage,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.members = tuple(teachers)
        self.weights = tuple(weights)
        self.average = average
        self.temperature = temperature
        self._registered = nn.ModuleList(teachers)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, whatever `mode` asks for."""
        del mode
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Stay without gradients, whatever `requires_grad` asks for."""
        del requires_grad
        return super().requires_grad_(False)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Take float images_BCHW in [0, 1], give logits_BC in float32 that a loss may keep."""
        return self.observe(images_BCHW).logits

    def observe(
        self, images_BCHW: torch.Tensor, layers: Sequence[str] = (), *, to_end: bool = True
    ) -> Observation:
        """Answer like `forward`.

        Raises:
            ValueError: layers are asked for; those of several networks have no mean.
        """
        del to_end
        if layers:
            raise ValueError(f"Several teachers have no layer {layers[0]!r} together.")
        logits_KBC = torch.stack([member(images_BCHW) for member in self.members])
        if self.average == "logits":
            return Observation(mean_of_logits(logits_KBC, self.weights))
        return Observation(
            mean_of_probabilities(logits_KBC, self.weights, temperature=self.temperature)
        )

    def digest(self) -> str:
        """Compute sha256 over the teachers' digests, in their order."""
        text = "\n".join(member.digest() for member in self.members)
        return hashlib.sha256(text.encode()).hexdigest()
