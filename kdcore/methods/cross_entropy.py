"""Cross-entropy with the labels: the whole objective without a teacher, a term of it with one.

B batch, C classes.
"""

import torch
import torch.nn.functional as F

from kdcore.methods.full_precision import full_precision, no_autocast


def cross_entropy(logits_BC: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
    """Compute −1/B · Σ_B log softmax(z)_label, a scalar in nats.

    `labels_B` are int64 from 0 up to C. Computed in float32, or float64 for float64 logits, also
    inside autocast.
    """
    with no_autocast(logits_BC):
        (full_BC,) = full_precision(logits_BC)
        return F.cross_entropy(full_BC, labels_B)
