"""Soft targets of standardised logits against the authors' numbers and what they ignore."""

# B batch, C classes

import math
from functools import partial
from typing import Any

import pytest
import torch

from kdcore.methods import (
    cross_entropy,
    kd_loss,
    standardized_kd_loss,
)
from kdcore.methods.logit_standardization import standardized
from kdcore.spec import LogitStandardization
from tests.kdcore.methods.logit_steps import losses_of
from tests.kdcore.methods.peers import cases_of

LABELS_B = torch.tensor([0, 3, 6, 4, 6, 2])

paper_loss = partial(standardized_kd_loss, temperature=2.0)


def _logits_BC(seed: int, *, batch: int = 6, classes: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", cases_of("logit_standardization_kd"))
def test_loss_and_gradient_equal_those_of_the_authors(
    case: dict[str, Any], dtype: torch.dtype
) -> None:
    student_BC = torch.tensor(case["student_logits"], dtype=dtype, requires_grad=True)
    teacher_BC = torch.tensor(case["teacher_logits"], dtype=dtype)

    loss = standardized_kd_loss(student_BC, teacher_BC, temperature=case["temperature"])
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    close = 1e-10 if dtype == torch.float64 else 1e-5
    assert loss.item() == pytest.approx(case["loss"], rel=close)
    expected_BC = torch.tensor(case["student_gradient"], dtype=dtype)
    torch.testing.assert_close(gradient_BC, expected_BC, rtol=close, atol=close)


def test_each_row_has_mean_0_and_deviation_1() -> None:
    scores_BC = standardized(30 * _logits_BC(0) + 7)

    torch.testing.assert_close(scores_BC.mean(1), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(scores_BC.std(1), torch.ones(6, dtype=torch.float64))


def test_the_papers_deviation_is_this_one_at_a_lower_temperature() -> None:
    student_BC, teacher_BC = _logits_BC(1), _logits_BC(2)
    by_c = [
        (z_BC - z_BC.mean(1, keepdim=True)) / z_BC.std(1, keepdim=True, correction=0)
        for z_BC in (student_BC, teacher_BC)
    ]
    paper = kd_loss(by_c[0], by_c[1], temperature=2.0)

    lower = 2.0 * math.sqrt(6 / 7)
    ours = standardized_kd_loss(student_BC, teacher_BC, temperature=lower)

    # T² is of the temperature that was asked for.
    assert ours.item() / lower**2 == pytest.approx(paper.item() / 2.0**2, rel=1e-6)


def test_scale_and_level_of_the_students_logits_do_not_count() -> None:
    teacher_BC = _logits_BC(3)

    loss = paper_loss(0.2 * teacher_BC - 5, teacher_BC)

    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert kd_loss(0.2 * teacher_BC - 5, teacher_BC, temperature=2.0).item() > 0.1


def test_gradient_passes_gradcheck_for_student_and_teacher() -> None:
    student_BC = _logits_BC(4, batch=3, classes=4).requires_grad_()
    teacher_BC = _logits_BC(5, batch=3, classes=4).requires_grad_()

    def loss_of(student_BC: torch.Tensor, teacher_BC: torch.Tensor) -> torch.Tensor:
        return paper_loss(student_BC, teacher_BC)

    assert torch.autograd.gradcheck(loss_of, (student_BC, teacher_BC))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_identical_logits_give_exactly_zero(dtype: torch.dtype) -> None:
    logits_BC = _logits_BC(6).to(dtype)

    assert paper_loss(logits_BC, logits_BC.clone()).item() == 0.0


def test_student_whose_logits_are_all_equal_gets_no_gradient_instead_of_a_huge_one() -> None:
    # The authors' 1e-7 alone would let gradients of 1e5 through.
    student_BC = torch.zeros(4, 7, requires_grad=True)

    loss = paper_loss(student_BC, _logits_BC(7, batch=4).float())
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    assert loss.item() > 0
    assert gradient_BC.abs().max().item() == 0.0


def test_loss_is_averaged_over_the_batch() -> None:
    student_BC, teacher_BC = _logits_BC(8), _logits_BC(9)

    twice = paper_loss(student_BC.repeat(2, 1), teacher_BC.repeat(2, 1))

    assert twice.item() == pytest.approx(paper_loss(student_BC, teacher_BC).item(), rel=1e-12)


def test_inside_autocast_half_precision_logits_are_computed_in_float32() -> None:
    student_BC, teacher_BC = _logits_BC(10).bfloat16(), _logits_BC(11).bfloat16()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = paper_loss(student_BC, teacher_BC)

    assert inside.dtype == torch.float32
    assert torch.equal(inside, paper_loss(student_BC.float(), teacher_BC.float()))


def test_stage_adds_both_terms_with_their_weights() -> None:
    student_BC, teacher_BC = _logits_BC(12), _logits_BC(13)

    losses = losses_of(
        LogitStandardization(ce_weight=0.25, kd_weight=0.5, temperature=3.0),
        student_BC,
        teacher_BC,
        LABELS_B,
    )

    hard = cross_entropy(student_BC, LABELS_B)
    soft = standardized_kd_loss(student_BC, teacher_BC, temperature=3.0)
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * soft)
    assert losses.terms == {"cross_entropy": hard, "logit_standardization": soft}


def test_temperature_squared_stays_when_ce_weight_is_zero() -> None:
    student_BC, teacher_BC = _logits_BC(14), _logits_BC(15)

    losses = losses_of(
        LogitStandardization(ce_weight=0.0, kd_weight=1.0), student_BC, teacher_BC, LABELS_B
    )

    torch.testing.assert_close(losses.total, paper_loss(student_BC, teacher_BC))


def test_all_weights_at_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        LogitStandardization(ce_weight=0.0, kd_weight=0.0)
