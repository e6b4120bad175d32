"""How far a layer of the student is from one of the teacher.

B batch, n numbers of one image's layer (channels times height times width of a map).
"""

import torch
import torch.nn.functional as F

from kdcore.methods.full_precision import full_precision, no_autocast


def layer_distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Compute 1/(B·n) · Σ_B ‖F_s − F_t‖² of two layers of one shape, a scalar.

    Squares are averaged over the batch and over the n numbers of a layer, so that the size of a
    layer changes neither a weight nor a learning rate. Computed in float32, or float64 for
    float64 layers, also inside autocast.
    """
    with no_autocast(student):
        student, teacher = full_precision(student, teacher)
        return F.mse_loss(student, teacher)
