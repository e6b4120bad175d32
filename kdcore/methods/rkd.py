"""`rkd`: the student keeps the distances and angles between the embeddings of a batch.

Park, Kim, Lu, Cho: Relational Knowledge Distillation, CVPR 2019 (arXiv:1904.05068).

B batch, D width of an embedding (the student's and the teacher's may differ), H Huber's loss
with δ = 1, s student, t teacher.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodStage
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.spec.methods import LayerPair, Rkd

RelationLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From student_BD and teacher_BD, of any two widths, to a scalar."""


def distance_loss(student_BD: torch.Tensor, teacher_BD: torch.Tensor) -> torch.Tensor:
    """Compute 1/B² · Σ_ij H(d^s_ij/μ_s − d^t_ij/μ_t), a scalar, with d_ij = ‖e_i − e_j‖.

    μ is the mean of a network's distances above 0, and carries gradients. The mean runs over
    all B² pairs, an image with itself included, as in the published code that the usual weight
    of 25 belongs to. Where two embeddings coincide their distance is 0 and has no gradient, so
    one image, two images, or a batch that all falls on one point are finite; of the first two
    the loss is 0. Computed in float32, or float64 for float64, also inside autocast.
    """
    with no_autocast(student_BD):
        student_BD, teacher_BD = full_precision(student_BD, teacher_BD)
        return F.smooth_l1_loss(_relative_distances(student_BD), _relative_distances(teacher_BD))


def angle_loss(student_BD: torch.Tensor, teacher_BD: torch.Tensor) -> torch.Tensor:
    """Compute 1/B³ · Σ_jik H(cos^s_ijk − cos^t_ijk), a scalar.

    cos_ijk is the cosine of the angle at j between i and k. The mean runs over all B³ triplets;
    those that name an image twice differ between the networks by rounding alone. Where two
    embeddings coincide their direction is 0 and has no gradient. Of one or two images the loss
    is 0. Takes memory of B²·D + B³ numbers. Computed in float32, or float64 for float64, also
    inside autocast.
    """
    with no_autocast(student_BD):
        student_BD, teacher_BD = full_precision(student_BD, teacher_BD)
        if len(student_BD) < 3:
            return student_BD.sum() * 0.0
        return F.smooth_l1_loss(_cosines(student_BD), _cosines(teacher_BD))


def _relative_distances(embeddings_BD: torch.Tensor) -> torch.Tensor:
    """Give all distances_BB over the mean of those above 0."""
    differences_BBD = embeddings_BD[:, None] - embeddings_BD
    # At 0 its gradient is 0, where that of a square root of squares is not a number.
    distances_BB = torch.linalg.vector_norm(differences_BBD, dim=2)
    num_apart = (distances_BB > 0).sum()
    mean = distances_BB.sum() / num_apart.clamp(min=1)
    relative_BB: torch.Tensor = distances_BB / torch.where(num_apart > 0, mean, 1.0)
    return relative_BB


def _cosines(embeddings_BD: torch.Tensor) -> torch.Tensor:
    """Give cosines_BBB, at [j, i, k] that of the angle at j between i and k."""
    differences_BBD = embeddings_BD - embeddings_BD[:, None]
    distances_BB1 = torch.linalg.vector_norm(differences_BBD, dim=2, keepdim=True)
    is_apart_BB1 = distances_BB1 > 0
    # Divided by 1, not by a tiny number, where two coincide: the backward pass divides too.
    safe_BB1 = torch.where(is_apart_BB1, distances_BB1, torch.ones_like(distances_BB1))
    directions_BBD = differences_BBD / safe_BB1 * is_apart_BB1
    return torch.bmm(directions_BBD, directions_BBD.transpose(1, 2))


class RelationTerm(Term):
    """The sum of `loss` over pairs of layers; each layer is flattened to one vector an image."""

    needs_student_logits = False
    needs_teacher_logits = False
    relates_images = True

    def __init__(self, name: str, loss: RelationLoss, pairs: Sequence[LayerPair]) -> None:
        super().__init__()
        self.name = name
        self.student_layers = tuple(pair.student for pair in pairs)
        self.teacher_layers = tuple(pair.teacher for pair in pairs)
        self._loss = loss

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run.
        """
        if step.teacher is None:
            raise ValueError(f"{self.name} needs a teacher.")
        losses = [
            self._loss(
                step.student.features[student].flatten(1), step.teacher.features[teacher].flatten(1)
            )
            for student, teacher in zip(self.student_layers, self.teacher_layers, strict=True)
        ]
        return torch.stack(losses).sum()


def rkd_stages(spec: Rkd) -> tuple[MethodStage, ...]:
    """Build the one stage of `rkd`."""
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=spec.temperature))
    distances = RelationTerm("rkd_distance", distance_loss, spec.layers)
    angles = RelationTerm("rkd_angle", angle_loss, spec.layers)
    objective = Objective(
        [
            (spec.ce_weight, CrossEntropy()),
            (spec.kd_weight, soft),
            (spec.distance_weight, distances),
            (spec.angle_weight, angles),
        ]
    )
    return (MethodStage(TRAINING_STAGE, objective),)
