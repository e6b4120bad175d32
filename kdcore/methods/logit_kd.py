"""`logit_kd`: soft targets at a temperature.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531).

B batch, C classes, z logits, s student, t teacher, T temperature, p^T = softmax(z/T).
"""

from functools import partial

import torch
import torch.nn.functional as F

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.spec.methods import LogitKd


def kd_loss(
    student_logits_BC: torch.Tensor, teacher_logits_BC: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """Compute T²/B · Σ_B KL(p_t^T ‖ p_s^T), a scalar in nats.

    The divergence is summed over classes and averaged over the batch. T² belongs to the loss
    whatever weight it then gets: the gradient is T·(p_s^T − p_t^T)/B, of the same order for any
    T, and for large T the loss tends to ‖z̄_s − z̄_t‖²/(2C), averaged over the batch, with logits
    z̄ centred in each row. Computed in float32, or float64 for float64 logits, also inside
    autocast; float32 keeps a relative error of the value near 1e-6 at T=20 and 1e-2 at T=1000,
    where the gradient stays exact to 1e-4.
    """
    with no_autocast(student_logits_BC):
        student_BC, teacher_BC = full_precision(student_logits_BC, teacher_logits_BC)
        divergence = F.kl_div(
            F.log_softmax(student_BC / temperature, dim=1),
            F.log_softmax(teacher_BC / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return divergence * temperature**2


def logit_kd_stages(spec: LogitKd) -> tuple[MethodStage, ...]:
    """Build the one stage of `logit_kd`."""
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=spec.temperature))
    objective = Objective([(spec.ce_weight, CrossEntropy()), (spec.kd_weight, soft)])
    return (MethodStage(TRAINING_STAGE, objective),)
