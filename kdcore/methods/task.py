"""The task that methods with terms of their own learn beside them, or after them."""

from functools import partial
from typing import Protocol

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.term import Term


class TaskWeights(Protocol):
    """The fields of a method's spec that say how it learns the task."""

    @property
    def ce_weight(self) -> float:
        """Weight of the cross-entropy with the labels."""

    @property
    def kd_weight(self) -> float:
        """Weight of the soft targets."""

    @property
    def temperature(self) -> float:
        """T of the soft targets."""


def task_terms(spec: TaskWeights) -> tuple[tuple[float, Term], ...]:
    """Weigh the terms of ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)."""
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=spec.temperature))
    return (spec.ce_weight, CrossEntropy()), (spec.kd_weight, soft)
