"""`dist`: the correlations of probabilities, within each image and within each class.

Huang, You, Wang, Qian, Xu: Knowledge Distillation from a Stronger Teacher, 2022
(arXiv:2205.10536).

B batch, C classes, z logits, s student, t teacher, T temperature, p^T = softmax(z/T),
ρ Pearson's correlation.
"""

from functools import partial

import torch

from kdcore.methods.centred_rows import centre_rows
from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.spec.methods import Dist

# As in the authors' code: rows whose norms' product is far below it count as uncorrelated.
_EPSILON = 1e-8


def pearson_distance(student_RC: torch.Tensor, teacher_RC: torch.Tensor) -> torch.Tensor:
    """Compute 1/R · Σ_R [1 − ρ(student_R, teacher_R)] over the rows, a scalar from 0 to 2.

    ρ = x_s·x_t / (‖x_s‖·‖x_t‖ + 1e-8) of the rows with their means taken off. Where one of the two
    rows is constant there is no correlation: ρ counts as 0, without gradient.
    """
    student, teacher = centre_rows(student_RC), centre_rows(teacher_RC)
    products_R1 = (student.values_RC * teacher.values_RC).sum(dim=1, keepdim=True)
    correlation_R1 = products_R1 / (student.norms_R1 * teacher.norms_R1 + _EPSILON)
    is_undefined_R1 = student.is_constant_R1 | teacher.is_constant_R1
    return 1 - correlation_R1.masked_fill(is_undefined_R1, 0.0).mean()


def dist_loss(
    student_logits_BC: torch.Tensor,
    teacher_logits_BC: torch.Tensor,
    *,
    temperature: float,
    inter_weight: float,
    intra_weight: float,
) -> torch.Tensor:
    """Compute T² · [inter_weight · inter + intra_weight · intra], a scalar.

    inter = 1/B · Σ_B [1 − ρ(p_s^T of one image, p_t^T of it)], over the classes;
    intra = 1/C · Σ_C [1 − ρ(p_s^T of one class, p_t^T of it)], over the batch; with one image in
    the batch there is nothing to correlate, and intra is 1 without gradient. Computed in float32,
    or float64 for float64 logits, also inside autocast.
    """
    with no_autocast(student_logits_BC):
        student_BC, teacher_BC = full_precision(student_logits_BC, teacher_logits_BC)
        p_s_BC = (student_BC / temperature).softmax(dim=1)
        p_t_BC = (teacher_BC / temperature).softmax(dim=1)
        inter = pearson_distance(p_s_BC, p_t_BC)
        intra = pearson_distance(p_s_BC.T, p_t_BC.T)
        return temperature**2 * (inter_weight * inter + intra_weight * intra)


def dist_stages(spec: Dist) -> tuple[MethodStage, ...]:
    """Build the one stage of `dist`."""
    loss = partial(
        dist_loss,
        temperature=spec.temperature,
        inter_weight=spec.inter_weight,
        intra_weight=spec.intra_weight,
    )
    correlations = LogitTerm("dist", loss, relates_images=True)
    objective = Objective([(spec.ce_weight, CrossEntropy()), (spec.kd_weight, correlations)])
    return (MethodStage(TRAINING_STAGE, objective),)
