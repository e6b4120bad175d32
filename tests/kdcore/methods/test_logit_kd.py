"""The soft-target loss against its formula, a peer's numbers and its closed forms."""

# B batch, C classes

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from kdcore.methods import kd_loss
from tests.kdcore.methods.peers import cases_of


def _logits_BC(seed: int, *, batch: int = 6, classes: int = 10) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, classes, generator=generator, dtype=torch.float64)


def _softmax_BC(logits_BC: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers_BC = np.exp(logits_BC - logits_BC.max(axis=1, keepdims=True))
    return np.asarray(powers_BC / powers_BC.sum(axis=1, keepdims=True))


def _from_the_formula(student_BC: torch.Tensor, teacher_BC: torch.Tensor, *, t: float) -> float:
    p_s_BC = _softmax_BC(student_BC.numpy() / t)
    p_t_BC = _softmax_BC(teacher_BC.numpy() / t)
    return float(t**2 / len(p_s_BC) * np.sum(p_t_BC * np.log(p_t_BC / p_s_BC)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_loss_is_the_formula_of_the_paper(temperature: float) -> None:
    student_BC, teacher_BC = _logits_BC(0), _logits_BC(1)

    loss = kd_loss(student_BC, teacher_BC, temperature=temperature)

    expected = _from_the_formula(student_BC, teacher_BC, t=temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_loss_is_what_one_works_out_by_hand() -> None:
    # p_t = (1/2, 1/2) and p_s = (3/4, 1/4) at T=2: KL = ln(2/sqrt(3)), times T² = 4.
    teacher_BC = torch.tensor([[0.0, 0.0]])
    student_BC = torch.tensor([[2 * 1.0986122886681098, 0.0]])

    loss = kd_loss(student_BC, teacher_BC, temperature=2.0)

    assert loss.item() == pytest.approx(4 * 0.14384103622589045, rel=1e-6)


@pytest.mark.parametrize("case", cases_of("repdistiller_kd"))
def test_loss_and_gradient_equal_those_of_repdistiller(case: dict[str, Any]) -> None:
    student_BC = torch.tensor(case["student_logits"], dtype=torch.float64, requires_grad=True)
    teacher_BC = torch.tensor(case["teacher_logits"], dtype=torch.float64)

    loss = kd_loss(student_BC, teacher_BC, temperature=case["temperature"])
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    assert loss.item() == pytest.approx(case["loss"], rel=1e-12)
    expected_BC = torch.tensor(case["student_gradient"], dtype=torch.float64)
    torch.testing.assert_close(gradient_BC, expected_BC, rtol=1e-10, atol=1e-14)


def test_gradient_passes_gradcheck_for_student_and_teacher() -> None:
    student_BC = _logits_BC(2, batch=3, classes=4).requires_grad_()
    teacher_BC = _logits_BC(3, batch=3, classes=4).requires_grad_()

    def loss_of(student_BC: torch.Tensor, teacher_BC: torch.Tensor) -> torch.Tensor:
        return kd_loss(student_BC, teacher_BC, temperature=3.0)

    assert torch.autograd.gradcheck(loss_of, (student_BC, teacher_BC))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_gradient_is_temperature_times_difference_of_probabilities_over_batch(
    temperature: float,
) -> None:
    student_BC, teacher_BC = _logits_BC(4).requires_grad_(), _logits_BC(5)

    loss = kd_loss(student_BC, teacher_BC, temperature=temperature)
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    p_s_BC = _softmax_BC(student_BC.detach().numpy() / temperature)
    p_t_BC = _softmax_BC(teacher_BC.numpy() / temperature)
    expected_BC = torch.from_numpy(temperature * (p_s_BC - p_t_BC) / len(p_s_BC))
    torch.testing.assert_close(gradient_BC, expected_BC, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_identical_logits_give_exactly_zero(dtype: torch.dtype) -> None:
    logits_BC = _logits_BC(6).to(dtype)

    assert kd_loss(logits_BC, logits_BC.clone(), temperature=4.0).item() == 0.0


def test_adding_a_constant_to_a_row_changes_nothing() -> None:
    student_BC, teacher_BC = _logits_BC(7), _logits_BC(8)

    shifted = kd_loss(student_BC + 5.0, teacher_BC - 3.0, temperature=4.0)

    expected = kd_loss(student_BC, teacher_BC, temperature=4.0)
    assert shifted.item() == pytest.approx(expected.item(), rel=1e-12)


def test_at_high_temperature_the_loss_is_half_the_squared_distance_of_centred_logits() -> None:
    student_BC, teacher_BC = _logits_BC(9, batch=64), _logits_BC(10, batch=64)

    loss = kd_loss(student_BC, teacher_BC, temperature=20.0)

    centred_BC = (student_BC - student_BC.mean(1, keepdim=True)) - (
        teacher_BC - teacher_BC.mean(1, keepdim=True)
    )
    limit = centred_BC.square().sum(1).mean() / (2 * student_BC.shape[1])
    assert loss.item() == pytest.approx(limit.item(), rel=0.01)


def test_divergence_is_summed_over_classes_not_averaged_over_them() -> None:
    # The trap: kl_div's reduction "mean" divides by B·C. Classes of no probability add nothing.
    student_BC, teacher_BC = _logits_BC(11, classes=4), _logits_BC(12, classes=4)
    nothing_BC = torch.full((6, 60), -1000.0, dtype=torch.float64)

    wide = kd_loss(
        torch.cat([student_BC, nothing_BC], 1),
        torch.cat([teacher_BC, nothing_BC], 1),
        temperature=1,
    )

    narrow = kd_loss(student_BC, teacher_BC, temperature=1.0)
    assert wide.item() == pytest.approx(narrow.item(), rel=1e-12)


def test_divergence_is_averaged_over_the_batch() -> None:
    student_BC, teacher_BC = _logits_BC(13), _logits_BC(14)

    twice = kd_loss(student_BC.repeat(2, 1), teacher_BC.repeat(2, 1), temperature=4.0)

    once = kd_loss(student_BC, teacher_BC, temperature=4.0)
    assert twice.item() == pytest.approx(once.item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    student_BC, teacher_BC = _logits_BC(15).to(dtype), _logits_BC(16).to(dtype)

    loss = kd_loss(student_BC, teacher_BC, temperature=4.0)

    assert loss.dtype == torch.float32
    exact = _from_the_formula(student_BC.double(), teacher_BC.double(), t=4.0)
    assert loss.item() == pytest.approx(exact, rel=1e-5)


def test_inside_autocast_the_loss_is_the_same_to_the_last_bit() -> None:
    student_BC, teacher_BC = _logits_BC(17).float(), _logits_BC(18).float()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = kd_loss(student_BC, teacher_BC, temperature=4.0)

    assert torch.equal(inside, kd_loss(student_BC, teacher_BC, temperature=4.0))


def test_logits_in_the_thousands_stay_finite() -> None:
    student_BC = torch.tensor([[5000.0, -5000.0, 0.0]], requires_grad=True)
    teacher_BC = torch.tensor([[-5000.0, 5000.0, 0.0]])

    loss = kd_loss(student_BC, teacher_BC, temperature=1.0)
    (gradient_BC,) = torch.autograd.grad(loss, student_BC)

    assert loss.item() == pytest.approx(10_000.0)
    assert gradient_BC.tolist() == [[1.0, -1.0, 0.0]]


def test_gradient_at_temperature_1000_is_exact_in_float32() -> None:
    student_BC, teacher_BC = _logits_BC(19).requires_grad_(), _logits_BC(20)
    exact_BC = torch.autograd.grad(kd_loss(student_BC, teacher_BC, temperature=1000.0), student_BC)[
        0
    ]
    single_BC = student_BC.detach().float().requires_grad_()

    loss = kd_loss(single_BC, teacher_BC.float(), temperature=1000.0)
    (gradient_BC,) = torch.autograd.grad(loss, single_BC)

    torch.testing.assert_close(gradient_BC.double(), exact_BC, rtol=0, atol=1e-5)
