"""`crd`: each network's view of an image is found among the other's views of many images.

Tian, Krishnan, Isola: Contrastive Representation Distillation, ICLR 2020 (arXiv:1910.10699).

B batch, D width of a layer, E width of an embedding, N images of the transfer set, K negatives,
τ contrast temperature.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from kdcore.methods.cross_entropy import CrossEntropy
from kdcore.methods.drawing import drawing
from kdcore.methods.full_precision import full_precision, no_autocast
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.logit_term import LogitTerm
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.step import Step
from kdcore.methods.term import Term
from kdcore.seeds import derive_seed
from kdcore.spec.methods import Crd, LayerPair


def noise_contrastive_loss(
    log_scores_BK: torch.Tensor, *, num_negatives: int, num_examples: int
) -> torch.Tensor:
    """Compute −1/B · Σ_B [log h(p_0) + Σ_k log(1 − h(p_k))], a scalar in nats.

    p = exp(log score); column 0 is the image itself, the others are its `num_negatives` drawn
    evenly from `num_examples`; h(p) = p/(p + K/N) is the chance that an image with that score is
    no draw. Sums run over the K negatives and the mean over the batch. Computed in float32, or
    float64 for float64, also inside autocast.
    """
    with no_autocast(log_scores_BK):
        (log_scores_BK,) = full_precision(log_scores_BK)
        log_odds_BK = log_scores_BK - math.log(num_negatives / num_examples)
        is_itself_B, is_drawn_BK = -log_odds_BK[:, 0], log_odds_BK[:, 1:]
        return (F.softplus(is_itself_B) + F.softplus(is_drawn_BK).sum(1)).mean()


class Memory(nn.Module):
    """What one network made of every image, as unit vectors that follow it slowly.

    Begins with random vectors. The scores of the first batch that is compared fix, once and for
    all, the constant Z that makes exp(similarity/τ)/Z add up to 1 over all N images, as the
    authors do. Everything here is a buffer: checkpointed, never trained, never exported.
    """

    vectors_NE: torch.Tensor
    log_z: torch.Tensor
    """Not finite until the first batch."""

    def __init__(
        self, num_examples: int, width: int, *, temperature: float, momentum: float
    ) -> None:
        super().__init__()
        self._temperature = temperature
        self._momentum = momentum
        bound = math.sqrt(3 / width)  # of unit length in expectation
        drawn_NE = torch.empty(num_examples, width).uniform_(-bound, bound)
        self.register_buffer("vectors_NE", drawn_NE)
        self.register_buffer("log_z", torch.tensor(-math.inf))

    def log_scores(self, anchors_BE: torch.Tensor, compared_BK: torch.Tensor) -> torch.Tensor:
        """Give log_scores_BK of the other network's anchors_BE with the images compared_BK."""
        # All N products are fewer numbers than the K vectors of each anchor, as long as N < K·E.
        # A copy, for the backward pass reads it after `remember` has written.
        similarities_BN = anchors_BE @ self.vectors_NE.clone().T
        exponents_BK = similarities_BN.gather(1, compared_BK) / self._temperature
        with torch.no_grad():
            num_examples, count = len(self.vectors_NE), exponents_BK.numel()
            first = exponents_BK.flatten().logsumexp(0) + math.log(num_examples / count)
            # Not an `if`, which would wait for the device at every step.
            self.log_z.copy_(torch.where(self.log_z.isfinite(), self.log_z, first))
        return exponents_BK - self.log_z

    def remember(self, vectors_BE: torch.Tensor, indices_B: torch.Tensor) -> None:
        """Move what is remembered of the images `indices_B` towards vectors_BE."""
        with torch.no_grad():
            moved_BE = torch.lerp(vectors_BE, self.vectors_NE[indices_B], self._momentum)
            self.vectors_NE.index_copy_(0, indices_B, F.normalize(moved_BE, dim=1))


class Contrast(nn.Module):
    """Both networks' layers brought to one width, and the memories of both."""

    def __init__(
        self, student_width: int, teacher_width: int, *, spec: Crd, num_examples: int, seed: int
    ) -> None:
        super().__init__()
        make_memory = partial(
            Memory,
            num_examples,
            spec.feature_dim,
            temperature=spec.contrast_temperature,
            momentum=spec.memory_momentum,
        )
        with drawing(seed, "crd"):
            self.embed_student = nn.Linear(student_width, spec.feature_dim)
            self.embed_teacher = nn.Linear(teacher_width, spec.feature_dim)
            self.student_memory = make_memory()
            self.teacher_memory = make_memory()

    def forward(
        self,
        student_BD: torch.Tensor,
        teacher_BD: torch.Tensor,
        indices_B: torch.Tensor,
        negatives_BK: torch.Tensor,
    ) -> torch.Tensor:
        """Give the loss of both directions, then remember the batch.

        `indices_B` and `negatives_BK` are positions in the transfer set.
        """
        student_BE, teacher_BE = self.embed_student(student_BD), self.embed_teacher(teacher_BD)
        with no_autocast(student_BD):
            student_BE, teacher_BE = full_precision(student_BE, teacher_BE)
            student_BE, teacher_BE = F.normalize(student_BE, dim=1), F.normalize(teacher_BE, dim=1)
            compared_BK = torch.cat([indices_B[:, None], negatives_BK], 1)
            loss_of = partial(
                noise_contrastive_loss,
                num_negatives=negatives_BK.shape[1],
                num_examples=len(self.student_memory.vectors_NE),
            )
            loss = loss_of(self.teacher_memory.log_scores(student_BE, compared_BK)) + loss_of(
                self.student_memory.log_scores(teacher_BE, compared_BK)
            )
            self.student_memory.remember(student_BE, indices_B)
            self.teacher_memory.remember(teacher_BE, indices_B)
        return loss


class ContrastTerm(Term):
    """The contrasts of all pairs of layers, flattened, with the same negatives drawn for each.

    Negatives are drawn evenly from the whole transfer set, with repetition, as the formula has
    it; that may hit the image itself. They come from torch's global generator, which the
    training loop seeds anew for every step: a resumed run draws what it would have drawn.
    """

    name = "crd"
    needs_student_logits = False
    needs_teacher_logits = False
    relates_images = True

    def __init__(self, spec: Crd, inputs: MethodInputs) -> None:
        super().__init__()
        self.student_layers = tuple(pair.student for pair in spec.layers)
        self.teacher_layers = tuple(pair.teacher for pair in spec.layers)
        self._num_examples = inputs.num_examples
        self._num_negatives = min(spec.num_negatives, inputs.num_examples)
        self.contrasts = nn.ModuleList(
            _make_contrast(pair, spec, inputs, index) for index, pair in enumerate(spec.layers)
        )

    def forward(self, step: Step) -> torch.Tensor:
        """Give the loss of one step.

        Raises:
            ValueError: the teacher was not run.
        """
        if step.teacher is None:
            raise ValueError("crd needs a teacher.")
        negatives_BK = torch.randint(
            self._num_examples,
            (len(step.indices_B), self._num_negatives),
            device=step.indices_B.device,
        )
        layers = zip(self.contrasts, self.student_layers, self.teacher_layers, strict=True)
        losses = [
            contrast(
                step.student.features[student].flatten(1),
                step.teacher.features[teacher].flatten(1),
                step.indices_B,
                negatives_BK,
            )
            for contrast, student, teacher in layers
        ]
        return torch.stack(losses).sum()


def crd_stages(spec: Crd, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the one stage of `crd`."""
    soft = LogitTerm("logit_kd", partial(kd_loss, temperature=spec.temperature))
    objective = Objective(
        [
            (spec.ce_weight, CrossEntropy()),
            (spec.kd_weight, soft),
            (spec.feature_weight, ContrastTerm(spec, inputs)),
        ]
    )
    return (MethodStage(TRAINING_STAGE, objective),)


def _make_contrast(pair: LayerPair, spec: Crd, inputs: MethodInputs, index: int) -> Contrast:
    return Contrast(
        math.prod(inputs.student_layers[pair.student]),
        math.prod(inputs.teacher_layers[pair.teacher]),
        spec=spec,
        num_examples=inputs.num_examples,
        seed=derive_seed(inputs.seed, "contrast", index),
    )
