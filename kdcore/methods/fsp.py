"""`fsp`: the flow from one layer to another, learnt before the task.

Yim, Joo, Bae, Kim: A Gift from Knowledge Distillation: Fast Optimization, Network Minimization
and Transfer Learning, CVPR 2017.

B batch, M channels where a flow begins, N channels where it ends, H height, W width, S = H·W,
s student, t teacher.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from kdcore.methods.adapters import AdaptedLayers
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.step import Step
from kdcore.methods.task import task_terms
from kdcore.methods.term import Term
from kdcore.pairing import resolve_layers
from kdcore.spec.methods import FlowPair, Fsp, LayerPair


def flow_matrices(begin_BMHW: torch.Tensor, end_BNHW: torch.Tensor) -> torch.Tensor:
    """Compute G = F₁ᵀF₂/(H·W) of each image: how far each two channels fire in the same places.

    Where the two layers differ in height or width, each is max-pooled (adaptively) to the smaller
    of both, as in the paper. Computed in float32, or float64 for float64 maps, also inside
    autocast: H·W products are summed.

    Returns:
        matrices_BMN, which do not depend on H and W: two networks may differ in them.
    """
    with no_autocast(begin_BMHW):
        begin_BMHW, end_BNHW = full_precision(begin_BMHW, end_BNHW)
        size = (
            min(begin_BMHW.shape[2], end_BNHW.shape[2]),
            min(begin_BMHW.shape[3], end_BNHW.shape[3]),
        )
        begin_BMS = _pooled(begin_BMHW, size).flatten(2)
        end_BSN = _pooled(end_BNHW, size).flatten(2).transpose(1, 2)
        return begin_BMS @ end_BSN / begin_BMS.shape[2]


def fsp_loss(student_BMN: torch.Tensor, teacher_BMN: torch.Tensor) -> torch.Tensor:
    """Compute 1/B · Σ_B ‖G_t − G_s‖²_F of one flow's matrices, a scalar.

    Squares are summed over both channels and averaged over the batch. Averaged over the channels
    as well it would be M·N times smaller (512 times for 16 and 32), and with it the steps. As it
    is, its scale is that of activations to the fourth power times M·N: thousands on trained
    networks, where gradient descent at the paper's rate of 0.001 can diverge.
    Computed in float32, or float64 for float64 matrices, also inside autocast.
    """
    with no_autocast(student_BMN):
        student_BMN, teacher_BMN = full_precision(student_BMN, teacher_BMN)
        return F.mse_loss(student_BMN, teacher_BMN, reduction="sum") / student_BMN.shape[0]


def _pooled(maps_BCHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if maps_BCHW.shape[2:] == size:
        return maps_BCHW
    return F.adaptive_max_pool2d(maps_BCHW, size)


class FspTerm(Term):
    """Σ_i λ_i · `fsp_loss` over flows; needs no logits, so the networks may have other classes.

    An adapter, where a flow declares one, is a 1×1 convolution on each of its two layers of the
    student, shared by all flows in which the same two layers meet: a flow that begins where
    another ends must find the same maps there, as it does in the teacher. The paper has none and
    gives student and teacher equal channels.
    """

    name = "fsp"
    needs_student_logits = False
    needs_teacher_logits = False

    def __init__(self, flows: Sequence[FlowPair], inputs: MethodInputs) -> None:
        super().__init__()
        self._flows = [(flow.weight, *_ends(flow)) for flow in flows]
        ends = [end for _, *both in self._flows for end in both]
        self.student_layers = tuple(end.student for end in ends)
        self.teacher_layers = tuple(end.teacher for end in ends)
        self.adapted = AdaptedLayers(ends, inputs)

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run.
        """
        if step.teacher is None:
            raise ValueError("fsp needs a teacher.")
        adapted, teacher = self.adapted(step.student), step.teacher.features
        losses: list[torch.Tensor] = []
        for weight, begin, end in self._flows:
            student_BMN = flow_matrices(adapted[begin], adapted[end])
            teacher_BMN = flow_matrices(teacher[begin.teacher], teacher[end.teacher])
            losses.append(weight * fsp_loss(student_BMN, teacher_BMN))
        return torch.stack(losses).sum()


def _ends(flow: FlowPair) -> tuple[LayerPair, LayerPair]:
    begin, end = (
        LayerPair(student=student, teacher=teacher, adapter=flow.adapter)
        for student, teacher in zip(flow.student, flow.teacher, strict=True)
    )
    return begin, end


def fsp_stages(spec: Fsp, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the two stages of `fsp`: the flows alone, then the task alone.

    Raises:
        IncompatibleInputs: as `kdcore.pairing.resolve_layers`.
    """
    spec = resolve_layers(spec, student=inputs.student_layers, teacher=inputs.teacher_layers)
    return (
        MethodStage("fsp", Objective([(1.0, FspTerm(spec.layers, inputs))])),
        MethodStage(TRAINING_STAGE, Objective(task_terms(spec))),
    )
