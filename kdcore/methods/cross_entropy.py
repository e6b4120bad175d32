"""Cross-entropy with the labels: the whole objective without a teacher, a term of it with one.

B batch, C classes.
"""

import torch
import torch.nn.functional as F

from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.step import Labels, Step
from kdcore.methods.term import Term


def cross_entropy(logits_BC: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
    """Compute −1/B · Σ_B log softmax(z)_label, a scalar in nats.

    `labels_B` are int64 from 0 up to C. Computed in float32, or float64 for float64 logits, also
    inside autocast.
    """
    with no_autocast(logits_BC):
        (full_BC,) = full_precision(logits_BC)
        return F.cross_entropy(full_BC, labels_B)


def mixed_cross_entropy(logits_BC: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Compute the cross-entropy with the labels of both images that each example is mixed from.

    −1/B · Σ_B [share · log softmax(z)_label + (1 − share) · log softmax(z)_other]; without a
    mix, `cross_entropy`.
    """
    if labels.other_B is None or labels.share_B is None:
        return cross_entropy(logits_BC, labels.labels_B)
    with no_autocast(logits_BC):
        (full_BC,) = full_precision(logits_BC)
        own_B = F.cross_entropy(full_BC, labels.labels_B, reduction="none")
        other_B = F.cross_entropy(full_BC, labels.other_B, reduction="none")
        return torch.lerp(other_B, own_B, labels.share_B.to(own_B.dtype)).mean()


class CrossEntropy(Term):
    """The cross-entropy of the student's logits with the labels."""

    name = "cross_entropy"
    needs_labels = True
    needs_teacher = False

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss in nats.

        Raises:
            ValueError: the step has no labels.
        """
        if step.labels is None:
            raise ValueError("cross_entropy needs labels.")
        return mixed_cross_entropy(step.student.logits, step.labels)
