"""Each generation's loss against a peer's numbers, closed forms and the paper's gradient."""

# B batch, C classes

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kdcore.methods import cross_entropy
from kdcore.spec import SelfDistillation
from tests.kdcore.methods.logit_steps import losses_of
from tests.kdcore.methods.peers import cases_of


def _logits_BC(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 5, generator=generator, dtype=torch.float64)


LABELS_B = torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize(
    "case", cases_of("repdistiller_kd"), ids=lambda case: f"T={case['temperature']}"
)
def test_soft_term_is_that_of_a_peer(case: dict[str, Any]) -> None:
    spec = SelfDistillation(temperature=case["temperature"], ce_weight=0.0)
    own_BC = torch.tensor(case["student_logits"], dtype=torch.float64)
    before_BC = torch.tensor(case["teacher_logits"], dtype=torch.float64)
    losses = losses_of(spec, own_BC, before_BC, torch.zeros(len(own_BC), dtype=torch.int64))
    assert float(losses.total) == pytest.approx(case["loss"], abs=1e-5)


def test_loss_is_the_weighted_sum_of_both_terms() -> None:
    spec = SelfDistillation(ce_weight=0.25, kd_weight=2.0, temperature=3.0)
    losses = losses_of(spec, _logits_BC(0), _logits_BC(1), LABELS_B)
    assert set(losses.terms) == {"cross_entropy", "self_distillation"}
    expected = 0.25 * losses.terms["cross_entropy"] + 2.0 * losses.terms["self_distillation"]
    torch.testing.assert_close(losses.total, expected)


def test_generation_equal_to_the_one_before_learns_from_labels_alone() -> None:
    logits_BC = _logits_BC(0)
    losses = losses_of(SelfDistillation(), logits_BC, logits_BC.clone(), LABELS_B)
    torch.testing.assert_close(losses.total, cross_entropy(logits_BC, LABELS_B))


def test_gradient_at_temperature_1_is_that_of_the_papers_cross_entropy() -> None:
    before_BC = _logits_BC(1)
    gradients: list[torch.Tensor] = []
    for use_paper in (True, False):
        own_BC = _logits_BC(0).requires_grad_()
        if use_paper:
            loss = F.cross_entropy(own_BC, before_BC.softmax(1))
        else:
            spec = SelfDistillation(ce_weight=0.0)
            loss = losses_of(spec, own_BC, before_BC, LABELS_B).total
        gradients.extend(torch.autograd.grad(loss, own_BC))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_gradient_passes_gradcheck() -> None:
    def loss(own_BC: torch.Tensor) -> torch.Tensor:
        return losses_of(SelfDistillation(temperature=2.0), own_BC, _logits_BC(1), LABELS_B).total

    assert torch.autograd.gradcheck(loss, (_logits_BC(0).requires_grad_(),))
