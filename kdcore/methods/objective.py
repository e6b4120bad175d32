"""The objective that a spec asks for: which terms, with which weights.

B batch, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from kdcore.methods.cross_entropy import cross_entropy
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_matching import logit_matching_loss
from kdcore.spec.methods import LogitKd, LogitMatching, MethodSpec

TeacherTerm = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From student_logits_BC and teacher_logits_BC to a scalar."""


@dataclass(frozen=True)
class LossTerms:
    """The loss of one batch.

    `total` is what to call backward on. `terms` are its parts by name before weighting, detached
    scalars on the same device: `cross_entropy` and the method's own name. A term of weight 0 is
    not computed and not listed.
    """

    total: torch.Tensor
    terms: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """`ce_weight` · cross-entropy + `kd_weight` · `teacher_term`; at least one weight is not 0."""

    name: str
    ce_weight: float
    kd_weight: float
    teacher_term: TeacherTerm | None

    @property
    def needs_labels(self) -> bool:
        """Whether labels enter the loss."""
        return self.ce_weight != 0

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher's logits enter the loss; if not, it need not run."""
        return self.kd_weight != 0

    def __call__(
        self,
        student_logits_BC: torch.Tensor,
        labels_B: torch.Tensor | None,
        teacher_logits_BC: torch.Tensor | None,
    ) -> LossTerms:
        """Compute the loss; what a weight of 0 makes superfluous may be None.

        Raises:
            ValueError: labels or teacher logits are needed and missing, or the two logits
                differ in shape.
        """
        terms: dict[str, torch.Tensor] = {}
        weighted: list[torch.Tensor] = []
        if self.ce_weight != 0:
            if labels_B is None:
                raise ValueError(f"{self.name} with ce_weight {self.ce_weight} needs labels.")
            term = cross_entropy(student_logits_BC, labels_B)
            terms["cross_entropy"] = term.detach()
            weighted.append(self.ce_weight * term)
        if self.kd_weight != 0 and self.teacher_term is not None:
            if teacher_logits_BC is None:
                raise ValueError(f"{self.name} with kd_weight {self.kd_weight} needs a teacher.")
            _check_same_shape(student_logits_BC, teacher_logits_BC)
            term = self.teacher_term(student_logits_BC, teacher_logits_BC)
            terms[self.name] = term.detach()
            weighted.append(self.kd_weight * term)
        return LossTerms(total=sum(weighted[1:], start=weighted[0]), terms=terms)


def build_objective(method: MethodSpec | None) -> Objective:
    """Make the objective of `method`; None is training on labels alone."""
    match method:
        case None:
            return Objective("cross_entropy", ce_weight=1.0, kd_weight=0.0, teacher_term=None)
        case LogitKd():
            term: TeacherTerm = partial(kd_loss, temperature=method.temperature)
        case LogitMatching():
            term = logit_matching_loss
    return Objective(
        method.name, ce_weight=method.ce_weight, kd_weight=method.kd_weight, teacher_term=term
    )


def _check_same_shape(student_logits_BC: torch.Tensor, teacher_logits_BC: torch.Tensor) -> None:
    # kl_div would silently broadcast one against the other.
    if student_logits_BC.shape != teacher_logits_BC.shape:
        raise ValueError(
            f"Student logits {tuple(student_logits_BC.shape)} and teacher logits "
            f"{tuple(teacher_logits_BC.shape)} differ in shape."
        )
