"""`dkd`: soft targets, split at the labelled class.

Zhao, Cui, Song, Qiu, Liang: Decoupled Knowledge Distillation, 2022 (arXiv:2203.08679).

B batch, C classes, O the C − 1 classes other than the target, z logits, y target class, s student,
t teacher, T temperature, p^T = softmax(z/T).
"""

import torch
import torch.nn.functional as F

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_term import matching_logits
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.methods.step import Labels, Step
from kdcore.methods.term import Term
from kdcore.spec.methods import Dkd


def target_class_divergence(
    student_logits_BC: torch.Tensor,
    teacher_logits_BC: torch.Tensor,
    targets_B: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """Compute KL(b_t ‖ b_s) of each example, as divergences_B in nats.

    b = (p^T_y, 1 − p^T_y) is what a network gives the target against all others together. Worked
    out from its log-odds, z_y/T − log Σ_O exp(z_o/T), so that it stays finite, with a gradient,
    where float32 rounds p^T_y to 1.
    """
    student_B = _log_odds(student_logits_BC / temperature, targets_B)
    teacher_B = _log_odds(teacher_logits_BC / temperature, targets_B)
    hit_B = teacher_B.sigmoid() * (F.logsigmoid(teacher_B) - F.logsigmoid(student_B))
    miss_B = (-teacher_B).sigmoid() * (F.logsigmoid(-teacher_B) - F.logsigmoid(-student_B))
    return hit_B + miss_B


def non_target_divergence(
    student_logits_BC: torch.Tensor,
    teacher_logits_BC: torch.Tensor,
    targets_B: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """Compute KL(q_t ‖ q_s) of each example, as divergences_B in nats.

    q = softmax(z_O/T) over the classes other than the target.
    """
    student_BO = _others(student_logits_BC, targets_B) / temperature
    teacher_BO = _others(teacher_logits_BC, targets_B) / temperature
    divergences_BO = F.kl_div(
        F.log_softmax(student_BO, dim=1),
        F.log_softmax(teacher_BO, dim=1),
        reduction="none",
        log_target=True,
    )
    return divergences_BO.sum(dim=1)


def dkd_loss(
    student_logits_BC: torch.Tensor,
    teacher_logits_BC: torch.Tensor,
    targets_B: torch.Tensor,
    *,
    temperature: float,
    target_weight: float,
    non_target_weight: float,
) -> torch.Tensor:
    """Compute T²/B · Σ_B [target_weight · KL(b_t ‖ b_s) + non_target_weight · KL(q_t ‖ q_s)].

    A scalar in nats, averaged over the batch. With target_weight 1, and 1 − p_t^T_y of each
    example in place of non_target_weight, it is `kd_loss`. Computed in float32, or float64 for
    float64 logits, also inside autocast.
    """
    with no_autocast(student_logits_BC):
        student_BC, teacher_BC = full_precision(student_logits_BC, teacher_logits_BC)
        target_B = target_class_divergence(
            student_BC, teacher_BC, targets_B, temperature=temperature
        )
        others_B = non_target_divergence(student_BC, teacher_BC, targets_B, temperature=temperature)
        weighted_B = target_weight * target_B + non_target_weight * others_B
        return weighted_B.mean() * temperature**2


def target_classes(labels: Labels) -> torch.Tensor:
    """Give targets_B: the labels; of a mix, the label with the larger share, of halves its own."""
    if labels.other_B is None or labels.share_B is None:
        return labels.labels_B
    return torch.where(labels.share_B >= 0.5, labels.labels_B, labels.other_B)


def _log_odds(scaled_BC: torch.Tensor, targets_B: torch.Tensor) -> torch.Tensor:
    target_B = scaled_BC.gather(1, targets_B[:, None]).squeeze(1)
    return target_B - _others(scaled_BC, targets_B).logsumexp(dim=1)


def _others(logits_BC: torch.Tensor, targets_B: torch.Tensor) -> torch.Tensor:
    """Leave the target's column out of each row: logits_BO, in their order."""
    columns_O = torch.arange(logits_BC.shape[1] - 1, device=logits_BC.device)
    return logits_BC.gather(1, columns_O + (columns_O >= targets_B[:, None]))


class DkdTerm(Term):
    """`dkd_loss` with the labels as targets, rising over the first epochs if the spec says so."""

    name = "dkd"
    needs_labels = True

    def __init__(self, spec: Dkd) -> None:
        super().__init__()
        self._spec = spec

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step, times the share of the warm-up that is over.

        Raises:
            ValueError: labels or teacher are missing, or the two logits differ in shape.
        """
        if step.labels is None:
            raise ValueError("dkd needs labels.")
        student_BC, teacher_BC = matching_logits(step, self.name)
        loss = dkd_loss(
            student_BC,
            teacher_BC,
            target_classes(step.labels),
            temperature=self._spec.temperature,
            target_weight=self._spec.target_weight,
            non_target_weight=self._spec.non_target_weight,
        )
        return loss * self._risen(step.epoch)

    def _risen(self, epoch: float) -> float:
        warmup = self._spec.warmup_epochs
        return min(1.0, epoch / warmup) if warmup else 1.0


def dkd_stages(spec: Dkd) -> tuple[MethodStage, ...]:
    """Build the one stage of `dkd`."""
    objective = Objective([(spec.ce_weight, CrossEntropy()), (spec.kd_weight, DkdTerm(spec))])
    return (MethodStage(TRAINING_STAGE, objective),)
