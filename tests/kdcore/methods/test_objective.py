"""Which terms a spec's objective has, and how they are weighted."""

# B batch, C classes

import pytest
import torch

from kdcore.distributed import ALONE, BatchPart
from kdcore.features import Observation
from kdcore.methods import (
    CrossEntropy,
    Labels,
    MethodInputs,
    Objective,
    Step,
    build_stages,
    cross_entropy,
    kd_loss,
    logit_matching_loss,
)
from kdcore.methods.shared_step import SharedBatch
from kdcore.spec import (
    Dist,
    ImageInput,
    LogitKd,
    LogitMatching,
    MethodSpec,
    Mlp,
    NetworkDescription,
)

LABELS_B = torch.tensor([0, 2, 1])
STUDENT = NetworkDescription(
    architecture=Mlp(hidden=(4,)),
    input=ImageInput(channels=1, height=2, width=2),
    num_classes=4,
)


def objective_of(method: MethodSpec | None) -> Objective:
    (stage,) = build_stages(method, MethodInputs(STUDENT))
    return stage.objective


def step(
    student_BC: torch.Tensor,
    labels_B: torch.Tensor | None = LABELS_B,
    teacher_BC: torch.Tensor | None = None,
) -> Step:
    return Step(
        student=Observation(student_BC),
        teacher=None if teacher_BC is None else Observation(teacher_BC),
        labels=None if labels_B is None else Labels(labels_B),
        images_BCHW=torch.zeros(len(student_BC), 1, 2, 2),
        indices_B=torch.arange(len(student_BC)),
        epoch=0.0,
    )


def _logits_BC(seed: int) -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))


def test_without_method_the_objective_is_cross_entropy_alone() -> None:
    objective = objective_of(None)

    losses = objective(step(_logits_BC(0)))

    assert objective.needs_labels
    assert not objective.needs_teacher
    assert torch.equal(losses.total, cross_entropy(_logits_BC(0), LABELS_B))
    assert set(losses.terms) == {"cross_entropy"}


def test_logit_kd_adds_both_terms_with_their_weights() -> None:
    objective = objective_of(LogitKd(temperature=4.0, ce_weight=0.25, kd_weight=0.5))

    losses = objective(step(_logits_BC(0), LABELS_B, _logits_BC(1)))

    hard = cross_entropy(_logits_BC(0), LABELS_B)
    soft = kd_loss(_logits_BC(0), _logits_BC(1), temperature=4.0)
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * soft)
    assert torch.equal(losses.terms["cross_entropy"], hard)
    assert torch.equal(losses.terms["logit_kd"], soft)


def test_logit_matching_adds_both_terms_with_their_weights() -> None:
    objective = objective_of(LogitMatching(ce_weight=0.25, kd_weight=0.5))

    losses = objective(step(_logits_BC(0), LABELS_B, _logits_BC(1)))

    hard = cross_entropy(_logits_BC(0), LABELS_B)
    distance = logit_matching_loss(_logits_BC(0), _logits_BC(1))
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * distance)
    assert torch.equal(losses.terms["logit_matching"], distance)


def test_temperature_squared_stays_when_ce_weight_is_zero() -> None:
    objective = objective_of(LogitKd(temperature=5.0, ce_weight=0.0, kd_weight=1.0))

    losses = objective(step(_logits_BC(0), None, _logits_BC(1)))

    divergence = torch.nn.functional.kl_div(
        torch.log_softmax(_logits_BC(0) / 5, 1),
        torch.softmax(_logits_BC(1) / 5, 1),
        reduction="sum",
    )
    torch.testing.assert_close(losses.total, 25 * divergence / 3)
    assert set(losses.terms) == {"logit_kd"}


def test_label_term_keeps_its_weight_when_kd_weight_is_zero() -> None:
    objective = objective_of(LogitKd(temperature=5.0, ce_weight=0.5, kd_weight=0.0))

    losses = objective(step(_logits_BC(0)))

    assert not objective.needs_teacher
    torch.testing.assert_close(losses.total, 0.5 * cross_entropy(_logits_BC(0), LABELS_B))
    assert set(losses.terms) == {"cross_entropy"}


def test_term_of_weight_zero_does_not_enter_even_if_it_is_infinite() -> None:
    objective = objective_of(LogitMatching(ce_weight=0.0, kd_weight=1.0))
    student_BC = torch.tensor([[3e38, -3e38]])

    losses = objective(step(student_BC, torch.tensor([1]), student_BC.clone()))

    assert losses.total.item() == 0.0


def test_objective_without_any_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight above 0"):
        Objective([(0.0, CrossEntropy())])


def test_terms_carry_no_gradient_and_the_total_does() -> None:
    student_BC = _logits_BC(0).requires_grad_()

    losses = objective_of(LogitKd())(step(student_BC, LABELS_B, _logits_BC(1)))

    assert losses.total.requires_grad
    assert not any(term.requires_grad for term in losses.terms.values())


def test_total_is_float32_for_half_precision_logits_inside_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = objective_of(LogitKd())(step(_logits_BC(0).bfloat16(), LABELS_B, _logits_BC(1)))

    assert losses.total.dtype == torch.float32


def test_missing_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="cross_entropy needs labels"):
        objective_of(LogitKd())(step(_logits_BC(0), None, _logits_BC(1)))


def test_missing_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match="logit_kd needs a teacher"):
        objective_of(LogitKd())(step(_logits_BC(0)))


def test_teacher_logits_of_another_shape_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\) and teacher logits \(3, 1\)"):
        objective_of(LogitKd())(step(_logits_BC(0), LABELS_B, _logits_BC(1)[:, :1]))


def test_mixed_labels_share_the_cross_entropy() -> None:
    other_B, share_B = torch.tensor([1, 1, 1]), torch.tensor([1.0, 0.25, 0.0])
    mixed = Step(
        student=Observation(_logits_BC(0)),
        teacher=None,
        labels=Labels(LABELS_B, other_B, share_B),
        images_BCHW=torch.zeros(3, 1, 2, 2),
        indices_B=torch.arange(3),
        epoch=0.0,
    )

    losses = objective_of(None)(mixed)

    log_B = torch.log_softmax(_logits_BC(0), dim=1)
    own_B, mixed_in_B = log_B[range(3), LABELS_B], log_B[range(3), other_B]
    torch.testing.assert_close(losses.total, -(share_B * own_B + (1 - share_B) * mixed_in_B).mean())


class TestSharedBatch:
    """What processes add to the loss of a batch that they share is that loss, each term of it."""

    def assert_adds_up(
        self, objective: Objective, whole: Step, steps: list[Step], parts: list[BatchPart]
    ) -> None:
        each = [
            objective(own, SharedBatch(part, ALONE, seed=0))
            for own, part in zip(steps, parts, strict=True)
        ]
        expected = objective(whole)
        total = torch.stack([one.total for one in each]).sum()
        torch.testing.assert_close(total, expected.total)
        for name, value in expected.terms.items():
            added = torch.stack([one.terms[name] for one in each]).sum()
            torch.testing.assert_close(added, value, msg=name)

    def test_means_over_images_are_weighed_by_the_images_of_each_process(self) -> None:
        student_BC, teacher_BC = torch.randn(5, 4), torch.randn(5, 4)
        labels_B = torch.tensor([0, 2, 1, 3, 3])
        parts = [BatchPart(5, rank, 2) for rank in range(2)]
        steps = [
            step(student_BC[part.rows], labels_B[part.rows], teacher_BC[part.rows])
            for part in parts
        ]
        objective = objective_of(LogitKd())
        assert not objective.relates_images
        whole = step(student_BC, labels_B, teacher_BC)
        self.assert_adds_up(objective, whole, steps, parts)

    def test_terms_that_relate_images_see_the_whole_batch_in_every_process(self) -> None:
        student_BC, teacher_BC = torch.randn(2, 4), torch.randn(2, 4)
        parts = [BatchPart(2, rank, 3) for rank in range(3)]  # too few images to split
        steps = [step(student_BC, torch.tensor([0, 2]), teacher_BC)] * 3
        objective = objective_of(Dist())
        assert objective.relates_images
        self.assert_adds_up(objective, steps[0], steps, parts)
