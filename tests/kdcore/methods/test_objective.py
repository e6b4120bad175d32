"""Which terms a spec's objective has, and how they are weighted."""

# B batch, C classes

import pytest
import torch

from kdcore.methods import build_objective, cross_entropy, kd_loss, logit_matching_loss
from kdcore.spec import LogitKd, LogitMatching

LABELS_B = torch.tensor([0, 2, 1])


def _logits_BC(seed: int) -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))


def test_without_method_the_objective_is_cross_entropy_alone() -> None:
    objective = build_objective(None)

    losses = objective(_logits_BC(0), LABELS_B, None)

    assert objective.needs_labels
    assert not objective.needs_teacher
    assert torch.equal(losses.total, cross_entropy(_logits_BC(0), LABELS_B))
    assert set(losses.terms) == {"cross_entropy"}


def test_logit_kd_adds_both_terms_with_their_weights() -> None:
    objective = build_objective(LogitKd(temperature=4.0, ce_weight=0.25, kd_weight=0.5))

    losses = objective(_logits_BC(0), LABELS_B, _logits_BC(1))

    hard = cross_entropy(_logits_BC(0), LABELS_B)
    soft = kd_loss(_logits_BC(0), _logits_BC(1), temperature=4.0)
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * soft)
    assert torch.equal(losses.terms["cross_entropy"], hard)
    assert torch.equal(losses.terms["logit_kd"], soft)


def test_logit_matching_adds_both_terms_with_their_weights() -> None:
    objective = build_objective(LogitMatching(ce_weight=0.25, kd_weight=0.5))

    losses = objective(_logits_BC(0), LABELS_B, _logits_BC(1))

    hard = cross_entropy(_logits_BC(0), LABELS_B)
    distance = logit_matching_loss(_logits_BC(0), _logits_BC(1))
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * distance)
    assert torch.equal(losses.terms["logit_matching"], distance)


def test_temperature_squared_stays_when_ce_weight_is_zero() -> None:
    objective = build_objective(LogitKd(temperature=5.0, ce_weight=0.0, kd_weight=1.0))

    losses = objective(_logits_BC(0), None, _logits_BC(1))

    divergence = torch.nn.functional.kl_div(
        torch.log_softmax(_logits_BC(0) / 5, 1),
        torch.softmax(_logits_BC(1) / 5, 1),
        reduction="sum",
    )
    torch.testing.assert_close(losses.total, 25 * divergence / 3)
    assert set(losses.terms) == {"logit_kd"}


def test_label_term_keeps_its_weight_when_kd_weight_is_zero() -> None:
    objective = build_objective(LogitKd(temperature=5.0, ce_weight=0.5, kd_weight=0.0))

    losses = objective(_logits_BC(0), LABELS_B, None)

    assert not objective.needs_teacher
    torch.testing.assert_close(losses.total, 0.5 * cross_entropy(_logits_BC(0), LABELS_B))
    assert set(losses.terms) == {"cross_entropy"}


def test_term_of_weight_zero_does_not_enter_even_if_it_is_infinite() -> None:
    objective = build_objective(LogitMatching(ce_weight=0.0, kd_weight=1.0))
    student_BC = torch.tensor([[3e38, -3e38]])

    losses = objective(student_BC, torch.tensor([1]), student_BC.clone())

    assert losses.total.item() == 0.0


def test_terms_carry_no_gradient_and_the_total_does() -> None:
    student_BC = _logits_BC(0).requires_grad_()

    losses = build_objective(LogitKd())(student_BC, LABELS_B, _logits_BC(1))

    assert losses.total.requires_grad
    assert not any(term.requires_grad for term in losses.terms.values())


def test_total_is_float32_for_half_precision_logits_inside_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = build_objective(LogitKd())(_logits_BC(0).bfloat16(), LABELS_B, _logits_BC(1))

    assert losses.total.dtype == torch.float32


def test_missing_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ce_weight 0\.1 needs labels"):
        build_objective(LogitKd())(_logits_BC(0), None, _logits_BC(1))


def test_missing_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kd_weight 0\.9 needs a teacher"):
        build_objective(LogitKd())(_logits_BC(0), LABELS_B, None)


def test_teacher_logits_of_another_shape_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\) and teacher logits \(3, 1\)"):
        build_objective(LogitKd())(_logits_BC(0), LABELS_B, _logits_BC(1)[:, :1])
