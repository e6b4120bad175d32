"""Networks that learn from each other: a peer's numbers, and gradients that stay apart."""

# K networks, B batch, C classes (logits) or channels (images), H height, W width

from typing import Any

import pytest
import torch
from torch import nn

from kdcore.errors import IncompatibleInputs
from kdcore.features import Observation
from kdcore.methods import (
    Labels,
    MethodInputs,
    Objective,
    Step,
    build_stages,
    cross_entropy,
    kd_loss,
    mimicry_loss,
)
from kdcore.methods.mutual_learning import Peers, build_peers, network_loss
from kdcore.models import Classifier, build_network
from kdcore.spec import (
    Architecture,
    Cnn,
    ImageInput,
    Mlp,
    MutualLearning,
    NetworkDescription,
    ResnetCifar,
)
from tests.kdcore.methods.peers import cases_of

LABELS_B = torch.tensor([0, 2, 1, 2])
IMAGE = ImageInput(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,))


def _logits_BC(seed: int, *, batch: int = 4, classes: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64)


def _inputs(architecture: Architecture | None = None) -> MethodInputs:
    student = NetworkDescription(
        architecture=architecture or Mlp(hidden=(6,)), input=IMAGE, num_classes=3
    )
    return MethodInputs(student, seed=7)


def _objective(spec: MutualLearning, inputs: MethodInputs) -> Objective:
    (stage,) = build_stages(spec, inputs)
    return stage.objective


def _peers(objective: Objective) -> list[nn.Module]:
    (term,) = [term for term in objective.terms if isinstance(term, Peers)]
    return list(term.networks)


def _student(inputs: MethodInputs) -> Classifier:
    return Classifier(build_network(inputs.student, seed=0), inputs.student.input)


def _images_BCHW() -> torch.Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def _step(
    student_BC: torch.Tensor,
    labels: Labels | None = Labels(LABELS_B),  # noqa: B008  # frozen
) -> Step:
    return Step(
        student=Observation(student_BC),
        teacher=None,
        labels=labels,
        images_BCHW=_images_BCHW(),
        indices_B=torch.arange(4),
        epoch=0.0,
    )


def _gradients(loss: torch.Tensor, module: nn.Module) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)


@pytest.mark.parametrize("case", cases_of("knowledge_distillation_zoo_dml"))
def test_losses_and_gradients_equal_those_of_knowledge_distillation_zoo(
    case: dict[str, Any],
) -> None:
    logits = [torch.tensor(each, dtype=torch.float64).requires_grad_() for each in case["logits"]]
    labels = Labels(torch.tensor(case["labels"]))

    losses = [
        network_loss(
            own_BC,
            [other_BC],
            labels,
            temperature=1.0,
            ce_weight=1.0,
            kd_weight=case["kd_weight"],
        )
        for own_BC, other_BC in (logits, reversed(logits))
    ]
    # One backward pass through the sum, as training does it.
    gradients = torch.autograd.grad(torch.stack(losses).sum(), logits)

    assert [loss.item() for loss in losses] == pytest.approx(case["losses"], rel=1e-10)
    for gradient_BC, expected in zip(gradients, case["gradients"], strict=True):
        expected_BC = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(gradient_BC, expected_BC, rtol=1e-10, atol=1e-12)


def test_mimicry_is_the_mean_over_the_others() -> None:
    own_BC, one_BC, two_BC = _logits_BC(0), _logits_BC(1), _logits_BC(2)

    loss = mimicry_loss(own_BC, [one_BC, two_BC], temperature=3.0)

    expected = (
        kd_loss(own_BC, one_BC, temperature=3.0) + kd_loss(own_BC, two_BC, temperature=3.0)
    ) / 2
    torch.testing.assert_close(loss, expected)


def test_networks_that_agree_have_nothing_to_learn_from_each_other() -> None:
    logits_BC = _logits_BC(3)

    assert mimicry_loss(logits_BC, [logits_BC.clone()] * 3, temperature=1.0).item() == 0.0


def test_others_count_as_constants() -> None:
    own_BC, other_BC = _logits_BC(4).requires_grad_(), _logits_BC(5).requires_grad_()

    loss = mimicry_loss(own_BC, [other_BC], temperature=1.0)

    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert own_BC.grad is not None
    assert other_BC.grad is None


def test_gradient_passes_gradcheck() -> None:
    others = [_logits_BC(6, batch=3, classes=4), _logits_BC(7, batch=3, classes=4)]

    def loss_of(own_BC: torch.Tensor) -> torch.Tensor:
        return network_loss(
            own_BC,
            others,
            Labels(torch.tensor([0, 3, 1])),
            temperature=2.0,
            ce_weight=0.5,
            kd_weight=2.0,
        )

    own_BC = _logits_BC(8, batch=3, classes=4).requires_grad_()
    assert torch.autograd.gradcheck(loss_of, own_BC)


def test_student_and_peers_each_get_the_gradient_of_their_own_loss_alone() -> None:
    spec = MutualLearning(num_peers=2, ce_weight=0.5, kd_weight=2.0, temperature=3.0)
    inputs = _inputs()
    objective, student = _objective(spec, inputs), _student(inputs)
    networks = [student, *_peers(objective)]

    total = objective(_step(student(_images_BCHW()))).total

    for index, network in enumerate(networks):
        logits = [each(_images_BCHW()).detach() for each in networks]
        own_BC = network(_images_BCHW())
        hard = cross_entropy(own_BC, LABELS_B)
        soft = [
            kd_loss(own_BC, other_BC, temperature=3.0)
            for place, other_BC in enumerate(logits)
            if place != index
        ]
        alone = 0.5 * hard + 2.0 * (soft[0] + soft[1]) / 2
        torch.testing.assert_close(_gradients(total, network), _gradients(alone, network))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_one_optimizer_for_all_does_what_one_for_each_does(
    kind: type[torch.optim.Optimizer],
) -> None:
    def train(*, apart: bool) -> list[nn.Parameter]:
        inputs = _inputs()
        objective, student = _objective(MutualLearning(num_peers=2), inputs), _student(inputs)
        networks = [student, *_peers(objective)]
        groups = [list(network.parameters()) for network in networks]
        everything = [parameter for group in groups for parameter in group]
        optimizers = [kind(group, lr=0.1) for group in (groups if apart else [everything])]  # type: ignore[call-arg]  # both take lr
        for _ in range(3):
            total = objective(_step(student(_images_BCHW()))).total
            for optimizer in optimizers:
                optimizer.zero_grad()
            total.backward()
            for optimizer in optimizers:
                optimizer.step()
        return everything

    pairs = zip(train(apart=True), train(apart=False), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_curves_tell_the_students_terms_apart_from_the_peers() -> None:
    inputs = _inputs()
    objective, student = _objective(MutualLearning(kd_weight=2.0), inputs), _student(inputs)
    student_BC = student(_images_BCHW())

    losses = objective(_step(student_BC))

    (peer,) = _peers(objective)
    peer_BC = peer(_images_BCHW())
    soft = kd_loss(student_BC, peer_BC, temperature=1.0)
    own = cross_entropy(peer_BC, LABELS_B) + 2 * kd_loss(peer_BC, student_BC, temperature=1.0)
    assert set(losses.terms) == {"cross_entropy", "mutual_learning", "peers"}
    torch.testing.assert_close(losses.terms["mutual_learning"], soft.detach())
    torch.testing.assert_close(losses.terms["peers"], own.detach())
    torch.testing.assert_close(losses.total, cross_entropy(student_BC, LABELS_B) + 2 * soft + own)


def test_each_peer_runs_once_a_step_so_that_its_batch_statistics_move_once() -> None:
    inputs = _inputs(ResnetCifar(depth=8, width=4))
    objective, student = _objective(MutualLearning(num_peers=2), inputs), _student(inputs)

    for _ in range(3):
        objective(_step(student(_images_BCHW())))

    for peer in _peers(objective):
        counts = [t.item() for name, t in peer.state_dict().items() if name.endswith("tracked")]
        assert set(counts) == {3}


def test_mixed_labels_reach_the_peers() -> None:
    inputs = _inputs()
    objective, student = _objective(MutualLearning(), inputs), _student(inputs)
    student_BC = student(_images_BCHW())
    other_B = torch.tensor([1, 1, 1, 1])

    own = objective(_step(student_BC, Labels(LABELS_B, other_B, torch.ones(4)))).terms["peers"]
    other = objective(_step(student_BC, Labels(LABELS_B, other_B, torch.zeros(4)))).terms["peers"]

    assert own.item() == objective(_step(student_BC)).terms["peers"].item()
    assert other.item() == objective(_step(student_BC, Labels(other_B))).terms["peers"].item()


def test_peers_differ_from_one_another_and_are_the_same_every_time() -> None:
    inputs = _inputs()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    one, two = build_peers(MutualLearning(num_peers=2), inputs)
    again, _ = build_peers(MutualLearning(num_peers=2), inputs)

    # The global generator is as it was.
    assert torch.equal(torch.rand(1), expected)
    assert not torch.equal(one(_images_BCHW()), two(_images_BCHW()))
    assert torch.equal(one(_images_BCHW()), again(_images_BCHW()))


def test_peers_normalise_as_the_student_does() -> None:
    (peer,) = build_peers(MutualLearning(), _inputs())

    assert peer.mean_C11.tolist() == [[[0.5]]]
    assert peer.std_C11.tolist() == [[[0.25]]]


def test_peers_of_other_architectures_keep_the_students_classes() -> None:
    spec = MutualLearning(peers=(Mlp(hidden=(9,)), ResnetCifar(depth=8, width=4)))

    networks = build_peers(spec, _inputs())

    assert spec.num_peers == 2
    assert [network(_images_BCHW()).shape for network in networks] == [(4, 3), (4, 3)]
    assert networks[0].network.state_dict().keys() != networks[1].network.state_dict().keys()


def test_peer_that_cannot_take_the_images_is_named() -> None:
    deep = Cnn.model_validate({"layers": [{"layer": "pool"}] * 5}, strict=False)
    spec = MutualLearning(peers=(Mlp(hidden=()), deep))

    with pytest.raises(IncompatibleInputs) as refusal:
        build_peers(spec, _inputs())

    assert refusal.value.pointer.startswith("/method/peers/1/layers/")


def test_without_weight_there_are_no_peers() -> None:
    objective = _objective(MutualLearning(kd_weight=0.0), _inputs())

    assert list(objective.parameters()) == []
    assert set(objective(_step(_logits_BC(9))).terms) == {"cross_entropy"}


def test_objective_needs_labels_and_no_teacher() -> None:
    objective = _objective(MutualLearning(), _inputs())

    assert (objective.needs_labels, objective.needs_teacher) == (True, False)
    with pytest.raises(ValueError, match="peers need labels"):
        Peers(MutualLearning(), build_peers(MutualLearning(), _inputs()))(
            _step(_logits_BC(10), labels=None)
        )


def test_peers_are_named_to_whoever_measures_them() -> None:
    inputs = _inputs()
    companions = _objective(MutualLearning(num_peers=2), inputs).companions()

    assert list(companions) == ["peer_1", "peer_2"]
    assert not torch.equal(
        companions["peer_1"](_images_BCHW()), companions["peer_2"](_images_BCHW())
    )
    assert _objective(MutualLearning(kd_weight=0.0), inputs).companions() == {}
