"""`attention`: the student looks where the teacher looks.

Zagoruyko, Komodakis: Paying More Attention to Attention: Improving the Performance of
Convolutional Neural Networks via Attention Transfer, ICLR 2017 (arXiv:1612.03928).

B batch, C channels, H height, W width, S = H·W, s student, t teacher.
"""

import torch
import torch.nn.functional as F

from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.objective import Objective
from kdcore.methods.pair_term import PairTerm
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.task import task_terms
from kdcore.pairing import resolve_layers
from kdcore.spec.methods import Attention


def attention_maps(maps_BCHW: torch.Tensor) -> torch.Tensor:
    """Compute a = Q/‖Q‖₂ with Q = 1/C · Σ_C F², each image's activity at each place.

    Computed in float32, or float64 for float64 maps, also inside autocast. Where a map is 0
    everywhere so is its attention, without gradient.

    Returns:
        attention_BS, of norm 1.
    """
    with no_autocast(maps_BCHW):
        (full_BCHW,) = full_precision(maps_BCHW)
        return F.normalize(full_BCHW.square().mean(dim=1).flatten(1))


def attention_loss(student_BCHW: torch.Tensor, teacher_BCHW: torch.Tensor) -> torch.Tensor:
    """Compute 1/(B·S) · Σ_B ‖a_s − a_t‖², a scalar; the two may differ in channels.

    Averaged over the batch and over places, as in the authors' code that the usual weight of 1000
    belongs to (the paper: 10³ over the elements of the map and of the batch); the paper writes
    norms that are not squared. Where the two differ in height or width, each is average-pooled
    (adaptively) to the smaller of both.
    """
    size = (
        min(student_BCHW.shape[2], teacher_BCHW.shape[2]),
        min(student_BCHW.shape[3], teacher_BCHW.shape[3]),
    )
    with no_autocast(student_BCHW):
        student_BCHW, teacher_BCHW = full_precision(student_BCHW, teacher_BCHW)
        student_BS = attention_maps(_pooled(student_BCHW, size))
        teacher_BS = attention_maps(_pooled(teacher_BCHW, size))
        return F.mse_loss(student_BS, teacher_BS)


def _pooled(maps_BCHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return maps_BCHW if maps_BCHW.shape[2:] == size else F.adaptive_avg_pool2d(maps_BCHW, size)


def attention_stages(spec: Attention, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the one stage of `attention`: the task, and `attention_loss` summed over pairs.

    Raises:
        IncompatibleInputs: as `kdcore.pairing.resolve_layers`.
    """
    spec = resolve_layers(spec, student=inputs.student_layers, teacher=inputs.teacher_layers)
    layers = PairTerm("attention", attention_loss, spec.layers, inputs)
    objective = Objective([*task_terms(spec), (spec.feature_weight, layers)])
    return (MethodStage(TRAINING_STAGE, objective),)
