"""Logit matching against its formula, its gradient and its reduction."""

# B batch, C classes

import numpy as np
import pytest
import torch

from kdcore.methods import logit_matching_loss


def _logits_BC(seed: int, *, batch: int = 6, classes: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64)


def test_loss_is_what_one_works_out_by_hand() -> None:
    student_BC = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    teacher_BC = torch.tensor([[4.0, 6.0], [0.0, 0.0]])

    # Half of 3² + 4² in one of two rows.
    assert logit_matching_loss(student_BC, teacher_BC).item() == 6.25


def test_loss_is_the_formula() -> None:
    student_BC, teacher_BC = _logits_BC(0), _logits_BC(1)

    loss = logit_matching_loss(student_BC, teacher_BC)

    rows_B = np.linalg.norm(student_BC.numpy() - teacher_BC.numpy(), axis=1) ** 2
    assert loss.item() == pytest.approx(float(np.mean(rows_B / 2)), rel=1e-12)


def test_gradient_passes_gradcheck_and_is_the_difference_over_the_batch() -> None:
    student_BC, teacher_BC = _logits_BC(2).requires_grad_(), _logits_BC(3).requires_grad_()

    (gradient_BC,) = torch.autograd.grad(logit_matching_loss(student_BC, teacher_BC), student_BC)

    torch.testing.assert_close(gradient_BC, (student_BC - teacher_BC).detach() / 6)
    assert torch.autograd.gradcheck(logit_matching_loss, (student_BC, teacher_BC))


def test_identical_logits_give_exactly_zero() -> None:
    logits_BC = _logits_BC(4).float()

    assert logit_matching_loss(logits_BC, logits_BC.clone()).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_squared_in_float32(dtype: torch.dtype) -> None:
    # 300² is above float16's largest number, and 257 of them above bfloat16's whole steps.
    student_BC = torch.full((1, 257), 300.0, dtype=dtype)
    teacher_BC = torch.zeros(1, 257, dtype=dtype)

    loss = logit_matching_loss(student_BC, teacher_BC)

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(257 * 300.0**2 / 2, rel=1e-6)


def test_inside_autocast_the_loss_is_the_same_to_the_last_bit() -> None:
    student_BC, teacher_BC = _logits_BC(5).float(), _logits_BC(6).float()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = logit_matching_loss(student_BC, teacher_BC)

    assert torch.equal(inside, logit_matching_loss(student_BC, teacher_BC))
