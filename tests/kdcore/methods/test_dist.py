"""Correlations of probabilities against the authors' numbers, numpy, and their extremes."""

# B batch, C classes

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.methods import (
    cross_entropy,
    dist_loss,
)
from kdcore.methods.dist import pearson_distance
from kdcore.spec import Dist
from tests.kdcore.methods.logit_steps import losses_of
from tests.kdcore.methods.peers import cases_of

LABELS_B = torch.tensor([0, 3, 6, 4, 6, 2])

paper_loss = partial(dist_loss, temperature=4.0, inter_weight=2.0, intra_weight=2.0)


def _logits_BC(seed: int, *, batch: int = 6, classes: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", cases_of("image_classification_sota_dist"))
def test_loss_and_gradient_equal_those_of_the_authors(
    case: dict[str, Any], dtype: torch.dtype
) -> None:
    student_BC = torch.tensor(case["student_logits"], dtype=dtype, requires_grad=True)

    loss = dist_loss(
        student_BC,
        torch.tensor(case["teacher_logits"], dtype=dtype),
        temperature=case["temperature"],
        inter_weight=case["inter_weight"],
        intra_weight=case["intra_weight"],
    )
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    close = 1e-10 if dtype == torch.float64 else 1e-5
    assert loss.item() == pytest.approx(case["loss"], rel=close)
    expected_BC = torch.tensor(case["student_gradient"], dtype=dtype)
    torch.testing.assert_close(gradient_BC, expected_BC, rtol=close, atol=close)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_loss_is_made_of_numpys_correlations(temperature: float) -> None:
    student_BC, teacher_BC = _logits_BC(0), _logits_BC(1)

    loss = dist_loss(
        student_BC, teacher_BC, temperature=temperature, inter_weight=3.0, intra_weight=5.0
    )

    p_s_BC = (student_BC / temperature).softmax(1).numpy()
    p_t_BC = (teacher_BC / temperature).softmax(1).numpy()
    inter = np.mean([1 - np.corrcoef(s, t)[0, 1] for s, t in zip(p_s_BC, p_t_BC, strict=True)])
    intra = np.mean([1 - np.corrcoef(s, t)[0, 1] for s, t in zip(p_s_BC.T, p_t_BC.T, strict=True)])
    # The authors' 1e-8 in the denominator is what is left between the two.
    assert loss.item() == pytest.approx(temperature**2 * (3 * inter + 5 * intra), rel=1e-5)


def test_distance_of_rows_is_zero_one_and_two_at_its_extremes() -> None:
    rows_RC = torch.tensor([[1.0, 2.0, 3.0, 6.0]])

    assert pearson_distance(rows_RC, 5 * rows_RC - 2).item() == pytest.approx(0.0, abs=1e-6)
    assert pearson_distance(rows_RC, torch.tensor([[1.0, -2.0, 1.0, 0.0]])).item() == 1.0
    assert pearson_distance(rows_RC, 4 - rows_RC).item() == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_identical_logits_give_zero(dtype: torch.dtype) -> None:
    logits_BC = 3 * _logits_BC(2).to(dtype)

    assert paper_loss(logits_BC, logits_BC.clone()).item() == pytest.approx(0.0, abs=1e-4)


def test_gradient_passes_gradcheck_for_student_and_teacher() -> None:
    student_BC = _logits_BC(3, batch=3, classes=4).requires_grad_()
    teacher_BC = _logits_BC(4, batch=3, classes=4).requires_grad_()

    def loss_of(student_BC: torch.Tensor, teacher_BC: torch.Tensor) -> torch.Tensor:
        return paper_loss(student_BC, teacher_BC)

    assert torch.autograd.gradcheck(loss_of, (student_BC, teacher_BC))


def test_student_whose_logits_are_all_equal_gets_a_bounded_gradient() -> None:
    # As when its last layer begins at 0: the correlation is undefined, its gradient has no bound.
    student_BC = torch.zeros(4, 100, requires_grad=True)
    teacher_BC = _logits_BC(5, batch=4, classes=100).float()

    loss = dist_loss(student_BC, teacher_BC, temperature=4.0, inter_weight=1.0, intra_weight=0.0)
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    assert loss.item() == 16.0
    assert gradient_BC.abs().max().item() == 0.0


def test_one_constant_row_leaves_the_others_their_gradient() -> None:
    student_BC = _logits_BC(6)
    student_BC[2] = 0.5
    student_BC.requires_grad_()

    loss = dist_loss(student_BC, _logits_BC(7), temperature=4.0, inter_weight=1.0, intra_weight=0.0)
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    moves_B = gradient_BC.abs().sum(dim=1) > 0
    assert moves_B.tolist() == [True, True, False, True, True, True]


def test_teacher_that_says_the_same_of_every_image_gives_one_without_gradient() -> None:
    student_BC = _logits_BC(8).requires_grad_()
    teacher_BC = _logits_BC(9)[:1].expand(6, 7)

    loss = dist_loss(student_BC, teacher_BC, temperature=1.0, inter_weight=0.0, intra_weight=1.0)
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    assert loss.item() == 1.0
    assert gradient_BC.abs().max().item() == 0.0


def test_batch_of_one_image_has_no_correlation_over_images() -> None:
    student_BC = _logits_BC(10, batch=1).requires_grad_()

    loss = paper_loss(student_BC, _logits_BC(11, batch=1))
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    inter = dist_loss(
        student_BC, _logits_BC(11, batch=1), temperature=4.0, inter_weight=2.0, intra_weight=0.0
    )
    assert loss.item() == pytest.approx(inter.item() + 16 * 2.0)
    assert gradient_BC.isfinite().all()


def test_doubling_the_batch_changes_nothing() -> None:
    student_BC, teacher_BC = _logits_BC(12), _logits_BC(13)

    twice = paper_loss(student_BC.repeat(2, 1), teacher_BC.repeat(2, 1))

    # Up to the authors' 1e-8, which weighs less on longer columns.
    assert twice.item() == pytest.approx(paper_loss(student_BC, teacher_BC).item(), rel=1e-6)


def test_inside_autocast_half_precision_logits_are_computed_in_float32() -> None:
    student_BC, teacher_BC = _logits_BC(14).bfloat16(), _logits_BC(15).bfloat16()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = paper_loss(student_BC, teacher_BC)

    assert inside.dtype == torch.float32
    assert torch.equal(inside, paper_loss(student_BC.float(), teacher_BC.float()))


def test_stage_adds_both_terms_with_their_weights() -> None:
    student_BC, teacher_BC = _logits_BC(16), _logits_BC(17)
    spec = Dist(ce_weight=0.25, kd_weight=0.5, temperature=2.0, inter_weight=1.0, intra_weight=3.0)

    losses = losses_of(spec, student_BC, teacher_BC, LABELS_B)

    hard = cross_entropy(student_BC, LABELS_B)
    soft = dist_loss(student_BC, teacher_BC, temperature=2.0, inter_weight=1.0, intra_weight=3.0)
    torch.testing.assert_close(losses.total, 0.25 * hard + 0.5 * soft)
    assert losses.terms == {"cross_entropy": hard, "dist": soft}


def test_temperature_squared_stays_when_ce_weight_is_zero() -> None:
    student_BC, teacher_BC = _logits_BC(18), _logits_BC(19)

    losses = losses_of(Dist(ce_weight=0.0), student_BC, teacher_BC, LABELS_B)

    torch.testing.assert_close(losses.total, paper_loss(student_BC, teacher_BC))


def test_both_shares_at_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="inter_weight and intra_weight are both 0"):
        Dist(inter_weight=0.0, intra_weight=0.0)
    assert Dist(inter_weight=0.0, intra_weight=0.0, kd_weight=0.0).ce_weight == 1.0


def test_all_weights_at_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        Dist(ce_weight=0.0, kd_weight=0.0)
