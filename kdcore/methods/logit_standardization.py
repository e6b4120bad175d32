"""`logit_standardization`: soft targets of logits brought to mean 0 and deviation 1.

Sun, Ren, Li, Wang, Cao: Logit Standardization in Knowledge Distillation, 2024
(arXiv:2403.01427).

B batch, C classes, z logits, s student, t teacher, T temperature, Z standardised logits.
"""

import math
from functools import partial

import torch

from kdcore.methods.centred_rows import centre_rows
from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.spec.methods import LogitStandardization

# As in the authors' code.
_EPSILON = 1e-7


def standardized(logits_BC: torch.Tensor) -> torch.Tensor:
    """Compute Z = (z − mean(z)) / (σ(z) + 1e-7) of each row, as logits_BC.

    σ divides by C − 1, as the authors' code does. The paper's algorithm divides by C, which is
    this one at the temperature T·√((C − 1)/C), 5 % lower for 10 classes and 0.5 % for 100. A row
    that is constant becomes 0, without gradient. Computed in float32, or float64 for float64
    logits, also inside autocast.
    """
    with no_autocast(logits_BC):
        (full_BC,) = full_precision(logits_BC)
        centred = centre_rows(full_BC)
        deviation_B1 = centred.norms_R1 / math.sqrt(full_BC.shape[1] - 1)
        scores_BC = centred.values_RC / (deviation_B1 + _EPSILON)
        return scores_BC.masked_fill(centred.is_constant_R1, 0.0)


def standardized_kd_loss(
    student_logits_BC: torch.Tensor, teacher_logits_BC: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """Compute T²/B · Σ_B KL(softmax(Z_t/T) ‖ softmax(Z_s/T)), a scalar in nats.

    So each image has a temperature of its own in each network, T·σ(z); neither the scale nor the
    level of the student's logits counts, only how they stand to one another.
    """
    return kd_loss(
        standardized(student_logits_BC), standardized(teacher_logits_BC), temperature=temperature
    )


def logit_standardization_stages(spec: LogitStandardization) -> tuple[MethodStage, ...]:
    """Build the one stage of `logit_standardization`."""
    loss = partial(standardized_kd_loss, temperature=spec.temperature)
    soft = LogitTerm("logit_standardization", loss)
    objective = Objective([(spec.ce_weight, CrossEntropy()), (spec.kd_weight, soft)])
    return (MethodStage(TRAINING_STAGE, objective),)
