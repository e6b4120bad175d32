"""`reviewkd`: every stage of the teacher teaches all stages of the student up to its own.

Chen, Liu, Zhao, Jia: Distilling Knowledge via Knowledge Review, CVPR 2021 (arXiv:2104.09044).

B batch, C channels, M channels in which maps are fused, H height, W width.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.catalog.layer_shapes import LayerShapes, Shape
from kdcore.errors import IncompatibleInputs
from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.drawing import drawing
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.spec.methods import LayerPair, ReviewKd

_MOST_FUSED_CHANNELS = 512
_POOLED_SIDES = (4, 2, 1)


def hierarchical_context_loss(
    student_BCHW: torch.Tensor, teacher_BCHW: torch.Tensor
) -> torch.Tensor:
    """Compute Σ_l w_l · mean((P_l(F_s) − P_l(F_t))²) / Σ_l w_l, a scalar.

    P_0 is the map itself, and P_l averages it down to 4x4, 2x2 and 1x1, where that is smaller than
    the map; weights w_l are 1, 1/2, 1/4, 1/8 in that order. Means are over B, C, H and W. Computed
    in float32, or float64 for float64, also inside autocast.
    """
    with no_autocast(student_BCHW):
        student_BCHW, teacher_BCHW = full_precision(student_BCHW, teacher_BCHW)
        height, width = student_BCHW.shape[2:]
        loss, weight, total = F.mse_loss(student_BCHW, teacher_BCHW), 1.0, 1.0
        for side in _POOLED_SIDES:
            if side < max(height, width):
                size = (min(side, height), min(side, width))
                weight /= 2
                total += weight
                loss = loss + weight * F.mse_loss(
                    F.adaptive_avg_pool2d(student_BCHW, size),
                    F.adaptive_avg_pool2d(teacher_BCHW, size),
                )
        return loss / total


class AttentionFusion(nn.Module):
    """Joins a stage of the student with what came from its deeper stages.

    Both are brought to M channels and one size; a 1x1 convolution of the two gives each its
    attention, a sigmoid per pixel, by which they are added. Of the sum, a 3x3 convolution makes
    what is compared with the teacher. The deepest stage has nothing to join.
    """

    def __init__(self, entering: int, middle: int, leaving: int, *, is_deepest: bool) -> None:
        super().__init__()
        self.narrow = _convolution(entering, middle, kernel_size=1)
        self.attention = None if is_deepest else nn.Conv2d(2 * middle, 2, 1)
        self.widen = _convolution(middle, leaving, kernel_size=3)

    def forward(
        self,
        maps_BCHW: torch.Tensor,
        deeper_BMHW: torch.Tensor | None,
        size: tuple[int, int],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give what is compared_BCHW, and the joined_BMHW for the next shallower stage.

        Both have height and width `size`, whatever the maps that go in have.
        """
        joined_BMHW: torch.Tensor = self.narrow(maps_BCHW)
        if self.attention is not None and deeper_BMHW is not None:
            deeper_BMHW = _resized(deeper_BMHW, (joined_BMHW.shape[2], joined_BMHW.shape[3]))
            attention_B2HW = self.attention(torch.cat([joined_BMHW, deeper_BMHW], 1)).sigmoid()
            joined_BMHW = joined_BMHW * attention_B2HW[:, :1] + deeper_BMHW * attention_B2HW[:, 1:]
        joined_BMHW = _resized(joined_BMHW, size)
        return self.widen(joined_BMHW), joined_BMHW


class ReviewTerm(Term):
    """The hierarchical context losses of all stages, times the share of the warm-up that is over.

    The student's stages are gone through from the deepest to the shallowest. M is the channels
    of the student's deepest stage, at most 512. Of a single image the loss is 0: its BatchNorm
    would have nothing to average over.
    """

    name = "reviewkd"
    needs_student_logits = False
    needs_teacher_logits = False
    relates_images = True  # the BatchNorms of its fusions do

    def __init__(
        self,
        pairs: Sequence[LayerPair],
        *,
        student: Sequence[Shape],
        teacher: Sequence[Shape],
        warmup_epochs: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.student_layers = tuple(pair.student for pair in pairs)
        self.teacher_layers = tuple(pair.teacher for pair in pairs)
        self._warmup_epochs = warmup_epochs
        middle = min(_MOST_FUSED_CHANNELS, student[-1][0])
        with drawing(seed, "reviewkd"):
            self.fusions = nn.ModuleList(
                AttentionFusion(entering[0], middle, leaving[0], is_deepest=index == len(pairs) - 1)
                for index, (entering, leaving) in enumerate(zip(student, teacher, strict=True))
            )

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run.
        """
        if step.teacher is None:
            raise ValueError("reviewkd needs a teacher.")
        student = [_as_map(step.student.features[name]) for name in self.student_layers]
        if len(student[0]) == 1:
            return torch.stack([maps_BCHW.sum() * 0.0 for maps_BCHW in student]).sum()
        teacher = [_as_map(step.teacher.features[name]) for name in self.teacher_layers]
        return self._warmth(step.epoch) * self._review(student, teacher)

    def _review(
        self, student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        losses: list[torch.Tensor] = []
        joined_BMHW: torch.Tensor | None = None
        stages = zip(self.fusions, student, teacher, strict=True)
        for fusion, maps_BCHW, teacher_BCHW in reversed(list(stages)):
            size = (teacher_BCHW.shape[2], teacher_BCHW.shape[3])
            compared_BCHW, joined_BMHW = fusion(maps_BCHW, joined_BMHW, size)
            losses.append(hierarchical_context_loss(compared_BCHW, teacher_BCHW))
        return torch.stack(losses).sum()

    def _warmth(self, epoch: float) -> float:
        return min(epoch / self._warmup_epochs, 1.0) if self._warmup_epochs else 1.0


def reviewkd_stages(spec: ReviewKd, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the one stage of `reviewkd`.

    Raises:
        IncompatibleInputs: a layer is neither a map nor a vector.
    """
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=spec.temperature))
    review = ReviewTerm(
        spec.layers,
        student=[
            _map_shape(pair.student, inputs.student_layers, pointer=f"/method/layers/{i}/student")
            for i, pair in enumerate(spec.layers)
        ],
        teacher=[
            _map_shape(pair.teacher, inputs.teacher_layers, pointer=f"/method/layers/{i}/teacher")
            for i, pair in enumerate(spec.layers)
        ],
        warmup_epochs=spec.warmup_epochs,
        seed=inputs.seed,
    )
    objective = Objective(
        [
            (spec.ce_weight, CrossEntropy()),
            (spec.kd_weight, soft),
            (spec.feature_weight, review),
        ]
    )
    return (MethodStage(TRAINING_STAGE, objective),)


def _convolution(entering: int, leaving: int, *, kernel_size: int) -> nn.Sequential:
    convolution = nn.Conv2d(entering, leaving, kernel_size, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(leaving))


def _resized(maps_BCHW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if maps_BCHW.shape[2:] == size:
        return maps_BCHW
    return F.interpolate(maps_BCHW, size, mode="nearest")


def _map_shape(name: str, layers: LayerShapes, *, pointer: str) -> Shape:
    shape = layers[name]
    if len(shape) == 2:
        raise IncompatibleInputs(
            "layer_is_no_map",
            f"reviewkd compares maps and vectors; {name} gives {shape[0]} vectors of {shape[1]}.",
            pointer=pointer,
        )
    return shape


def _as_map(features: torch.Tensor) -> torch.Tensor:
    return features[:, :, None, None] if features.dim() == 2 else features
