"""`logit_matching`: squared distance between logits.

Ba, Caruana: Do Deep Nets Really Need to be Deep?, 2014 (arXiv:1312.6184).

B batch, C classes, z logits, s student, t teacher.
"""

import torch
import torch.nn.functional as F

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.spec.methods import LogitMatching


def logit_matching_loss(
    student_logits_BC: torch.Tensor, teacher_logits_BC: torch.Tensor
) -> torch.Tensor:
    """Compute 1/(2B) · Σ_B ‖z_s − z_t‖², a scalar.

    Squares are summed over classes and averaged over the batch; the gradient is (z_s − z_t)/B.
    Computed in float32, or float64 for float64 logits, also inside autocast.
    """
    with no_autocast(student_logits_BC):
        student_BC, teacher_BC = full_precision(student_logits_BC, teacher_logits_BC)
        squares = F.mse_loss(student_BC, teacher_BC, reduction="sum")
        return squares / (2 * student_BC.shape[0])


def logit_matching_stages(spec: LogitMatching) -> tuple[MethodStage, ...]:
    """Build the one stage of `logit_matching`."""
    squares = LogitTerm("logit_matching", logit_matching_loss)
    objective = Objective([(spec.ce_weight, CrossEntropy()), (spec.kd_weight, squares)])
    return (MethodStage(TRAINING_STAGE, objective),)
