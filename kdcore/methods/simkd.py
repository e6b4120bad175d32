"""`simkd`: the student's maps, projected, learn the teacher's; the teacher's classifier is reused.

Chen, Mei, Zhang, Wang, Feng, Chen: Knowledge Distillation with the Reused Teacher Classifier,
CVPR 2022 (arXiv:2203.14001).

B batch, C channels of the teacher, H height, W width.
"""

from functools import partial

import torch
import torch.nn.functional as F

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.spec import ReusedClassifier
from kdcore.spec.methods import SimKd

PROJECTED = "projector"
"""The layer of a `reused_classifier` that learns the teacher's maps."""


def projected_maps_loss(student_BCHW: torch.Tensor, teacher_BCHW: torch.Tensor) -> torch.Tensor:
    """Compute mean((F_s − F_t)²), a scalar, over B, C, H and W.

    A teacher's map that is larger is averaged down to the student's size first. Computed in
    float32, or float64 for float64, also inside autocast.
    """
    with no_autocast(student_BCHW):
        student_BCHW, teacher_BCHW = full_precision(student_BCHW, teacher_BCHW)
        size = (student_BCHW.shape[2], student_BCHW.shape[3])
        if teacher_BCHW.shape[2:] != size:
            teacher_BCHW = F.adaptive_avg_pool2d(teacher_BCHW, size)
        return F.mse_loss(student_BCHW, teacher_BCHW)


class ProjectedMaps(Term):
    """The squared distance of the student's projected map from what the teacher classifies.

    Where the teacher's classifier follows a ReLU that its layer does not hold (the wrn's last
    BatchNorm), the ReLU is done here. A vector counts as a map of 1x1.
    """

    name = "simkd"
    student_layers = (PROJECTED,)
    needs_teacher_logits = False

    def __init__(self, teacher_layer: str, *, has_relu: bool) -> None:
        super().__init__()
        self.teacher_layers = (teacher_layer,)
        self._has_relu = has_relu

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run.
        """
        if step.teacher is None:
            raise ValueError("simkd needs a teacher.")
        (name,) = self.teacher_layers
        teacher_BCHW = step.teacher.features[name]
        if teacher_BCHW.dim() == 2:
            teacher_BCHW = teacher_BCHW[:, :, None, None]
        if self._has_relu:
            teacher_BCHW = teacher_BCHW.relu()
        return projected_maps_loss(step.student.features[PROJECTED], teacher_BCHW)


def simkd_stages(spec: SimKd, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the one stage of `simkd`, for a student that is a `reused_classifier`.

    Raises:
        ValueError: it is another one.
    """
    architecture = inputs.student.architecture
    if not isinstance(architecture, ReusedClassifier):
        raise ValueError(f"simkd trains a reused_classifier, not a {architecture.architecture}.")  # noqa: TRY004  # the value is wrong
    (pair,) = spec.layers
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=spec.temperature))
    maps = ProjectedMaps(pair.teacher, has_relu=architecture.activation == "relu")
    objective = Objective(
        [
            (spec.ce_weight, CrossEntropy()),
            (spec.kd_weight, soft),
            (spec.feature_weight, maps),
        ]
    )
    return (MethodStage(TRAINING_STAGE, objective),)
