"""The task that methods with terms of their own learn beside them, or after them."""

from functools import partial

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.term import Term


def task_terms(
    *, ce_weight: float, kd_weight: float, temperature: float
) -> tuple[tuple[float, Term], ...]:
    """Weigh the terms of ce_weight · CE(y, z_s) + kd_weight · T²/B · Σ KL(p_t^T ‖ p_s^T)."""
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=temperature))
    return (ce_weight, CrossEntropy()), (kd_weight, soft)
