"""`mutual_learning`: networks that learn from each other while they learn from the labels.

Zhang, Xiang, Hospedales, Lu: Deep Mutual Learning, 2018 (arXiv:1706.00384).

K networks (the student and its peers), B batch, C channels (images) or classes (logits), H height,
W width, z logits, y labels, T temperature, p^T = softmax(z/T).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.methods.cross_entropy import CrossEntropy, mixed_cross_entropy
from kdcore.methods.logit_kd import kd_loss
from kdcore.methods.objective import Objective
from kdcore.methods.stage import TRAINING_STAGE, MethodInputs, MethodStage
from kdcore.methods.step import Labels, Step
from kdcore.methods.term import Term
from kdcore.models import Classifier, build_network, channels_last
from kdcore.seeds import derive_seed
from kdcore.spec.architectures import Architecture
from kdcore.spec.methods import MutualLearning


def mimicry_loss(
    logits_BC: torch.Tensor, others_logits: Sequence[torch.Tensor], *, temperature: float
) -> torch.Tensor:
    """Compute 1/(K − 1) · Σ_j T²/B · Σ_B KL(p_j^T ‖ p^T) over the other networks j, in nats.

    `others_logits` are logits_BC of each of the others; they count as constants, so that no
    gradient reaches the others. Computed as `kd_loss` is.
    """
    divergences = [
        kd_loss(logits_BC, other_BC.detach(), temperature=temperature) for other_BC in others_logits
    ]
    return torch.stack(divergences).mean()


def network_loss(
    logits_BC: torch.Tensor,
    others_logits: Sequence[torch.Tensor],
    labels: Labels,
    *,
    temperature: float,
    ce_weight: float,
    kd_weight: float,
) -> torch.Tensor:
    """Compute what one network minimises: ce_weight · CE(y, z) + kd_weight · mimicry, a scalar.

    The sum of it over the networks has, in each network, the gradient of that network's own loss
    alone, so one backward pass and one optimizer serve all: what SGD and Adam do to a weight
    depends on that weight's gradient alone. Only clipping looks at all of them together.
    """
    mimicry = mimicry_loss(logits_BC, others_logits, temperature=temperature)
    return ce_weight * mixed_cross_entropy(logits_BC, labels) + kd_weight * mimicry


class Peers(Term):
    """The peers, which train with the student, and the sum of their own losses."""

    name = "peers"
    needs_labels = True
    needs_teacher = False

    def __init__(self, spec: MutualLearning, networks: Sequence[Classifier]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._classifiers = tuple(networks)
        self._spec = spec
        self._answered: tuple[Step, list[torch.Tensor]] | None = None

    def companions(self) -> Mapping[str, Classifier]:
        """Give the peers as `peer_1`, `peer_2`, …, in the order of the spec."""
        return {
            f"peer_{number}": network for number, network in enumerate(self._classifiers, start=1)
        }

    def answer(self, step: Step) -> list[torch.Tensor]:
        """Give the logits_BC of each peer, worked out once a step however often it is asked."""
        if self._answered is None or self._answered[0] is not step:
            self._answered = step, [network(step.images_BCHW) for network in self.networks]
        return self._answered[1]

    def forward(self, step: Step) -> torch.Tensor:
        """Give Σ over the peers of `network_loss`.

        Raises:
            ValueError: the step has no labels.
        """
        if step.labels is None:
            raise ValueError("peers need labels.")
        logits = [step.student.logits, *self.answer(step)]
        losses = [
            network_loss(
                own_BC,
                [*logits[:place], *logits[place + 1 :]],
                step.labels,
                temperature=self._spec.temperature,
                ce_weight=self._spec.ce_weight,
                kd_weight=self._spec.kd_weight,
            )
            for place, own_BC in enumerate(logits)
            if place > 0
        ]
        return torch.stack(losses).sum()


class Mimicry(Term):
    """The student's divergence from its peers; `peers` is kept by the objective beside it."""

    name = "mutual_learning"
    needs_teacher = False

    def __init__(self, peers: Peers, *, temperature: float) -> None:
        super().__init__()
        # Inside a tuple it is no sub-module: it trains and is saved as a term of its own.
        self._peers = (peers,)
        self._temperature = temperature

    def forward(self, step: Step) -> torch.Tensor:
        """Give `mimicry_loss` of the student."""
        (peers,) = self._peers
        return mimicry_loss(step.student.logits, peers.answer(step), temperature=self._temperature)


def mutual_learning_stages(spec: MutualLearning, inputs: MethodInputs) -> tuple[MethodStage, ...]:
    """Build the one stage of `mutual_learning`, and the peers in it.

    Raises:
        IncompatibleInputs: a peer does not take the student's images.
    """
    terms: list[tuple[float, Term]] = [(spec.ce_weight, CrossEntropy())]
    if spec.kd_weight:
        peers = Peers(spec, build_peers(spec, inputs))
        terms += [(spec.kd_weight, Mimicry(peers, temperature=spec.temperature)), (1.0, peers)]
    return (MethodStage(TRAINING_STAGE, Objective(terms)),)


def build_peers(spec: MutualLearning, inputs: MethodInputs) -> list[Classifier]:
    """Build the peers on the CPU, each with weights of its own, normalising as the student does.

    Raises:
        IncompatibleInputs: a peer does not take the student's images.
    """
    architectures = spec.architectures(inputs.student.architecture)
    return [_build_peer(each, inputs, place) for place, each in enumerate(architectures)]


def _build_peer(architecture: Architecture, inputs: MethodInputs, place: int) -> Classifier:
    description = inputs.student.model_copy(update={"architecture": architecture})
    try:
        network = build_network(description, seed=derive_seed(inputs.seed, "peer", place))
    except IncompatibleInputs as error:
        pointer = f"/method/peers/{place}{error.pointer}"
        raise IncompatibleInputs(error.code, error.message, pointer=pointer) from error
    return Classifier(channels_last(network), description.input)
