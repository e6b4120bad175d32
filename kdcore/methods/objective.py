"""What a stage minimises: terms with weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from kdcore.devices import seed_draws
from kdcore.methods.shared_step import SharedBatch, whole_step
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.models import Classifier


@dataclass(frozen=True)
class LossTerms:
    """The loss of one batch.

    `total` is what to call backward on. `terms` are its parts by name before weighting, detached
    scalars on the same device.
    """

    total: torch.Tensor
    terms: dict[str, torch.Tensor]


class Objective(nn.Module):
    """Σ weight · term over the terms whose weight is not 0; the others are not even kept.

    Its parameters are those of its terms (regressors, embeddings, peers): they train with the
    student and are never exported.

    Args:
        weighted_terms: At least one with a weight above 0; names differ.
    """

    def __init__(self, weighted_terms: Sequence[tuple[float, Term]]) -> None:
        super().__init__()
        kept = [(weight, term) for weight, term in weighted_terms if weight != 0]
        if not kept:
            raise ValueError("An objective needs a term with a weight above 0.")
        self.weights = tuple(weight for weight, _ in kept)
        self.terms = nn.ModuleList(term for _, term in kept)

    def _terms(self) -> list[Term]:
        return [term for term in self.terms if isinstance(term, Term)]

    @property
    def student_layers(self) -> tuple[str, ...]:
        """The student's layers that some term reads."""
        return tuple(dict.fromkeys(name for t in self._terms() for name in t.student_layers))

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """The teacher's layers that some term reads."""
        return tuple(dict.fromkeys(name for t in self._terms() for name in t.teacher_layers))

    @property
    def needs_labels(self) -> bool:
        """Whether labels enter the loss."""
        return any(term.needs_labels for term in self._terms())

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher enters the loss; if not, it need not run."""
        return any(term.needs_teacher for term in self._terms())

    @property
    def needs_student_logits(self) -> bool:
        """Whether the student must be run to its end."""
        return any(term.needs_student_logits for term in self._terms())

    @property
    def needs_teacher_logits(self) -> bool:
        """Whether the teacher must be run to its end."""
        return any(term.needs_teacher and term.needs_teacher_logits for term in self._terms())

    def companions(self) -> dict[str, Classifier]:
        """Give the networks that learn beside the student, by what the report calls them."""
        return {name: one for term in self._terms() for name, one in term.companions().items()}

    @property
    def relates_images(self) -> bool:
        """Whether some term must see the whole batch."""
        return any(term.relates_images for term in self._terms())

    def separable_terms(self) -> tuple[Term, ...]:
        """Give the terms that are means over images."""
        return tuple(term for term in self._terms() if not term.relates_images)

    def forward(self, step: Step, shared: SharedBatch | None = None) -> LossTerms:
        """Compute the loss of one step.

        Where several processes share the batch, `step` holds the part of this one, and all values
        are what it adds to those of the whole batch: their sum over the processes is the loss.

        Raises:
            ValueError: something a term needs is missing from the step.
        """
        if shared is None:
            values = {term.name: term(step) for term in self._terms()}
        else:
            values = self._shares(step, shared)
        weighted = [
            weight * value for weight, value in zip(self.weights, values.values(), strict=True)
        ]
        return LossTerms(
            total=sum(weighted[1:], start=weighted[0]),
            terms={name: value.detach() for name, value in values.items()},
        )

    def _shares(self, step: Step, shared: SharedBatch) -> dict[str, torch.Tensor]:
        """Give what this process adds to the value of each term."""
        shares = {
            term.name: term(step) * shared.part.share_of_mean for term in self.separable_terms()
        }
        if self.relates_images:
            related = [term for term in self._terms() if term.relates_images]
            whole = whole_step(step, related, shared)
            # What these terms draw must be the same in every process.
            seed_draws(shared.seed, step.indices_B.device)
            shares |= {term.name: term(whole) * shared.part.share_of_whole for term in related}
        return {term.name: shares[term.name] for term in self._terms()}
