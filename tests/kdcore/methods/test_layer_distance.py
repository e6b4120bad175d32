"""The distance between two layers against a peer's numbers and its closed forms."""

from typing import Any

import pytest
import torch

from kdcore.methods import layer_distance
from tests.kdcore.methods.peers import cases_of


def _layer(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", cases_of("repdistiller_hint"))
def test_loss_and_gradient_equal_those_of_repdistiller(case: dict[str, Any]) -> None:
    student = torch.tensor(case["student"], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor(case["teacher"], dtype=torch.float64)

    loss = layer_distance(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)

    assert loss.item() == pytest.approx(case["loss"], rel=1e-12)
    expected = torch.tensor(case["student_gradient"], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


def test_distance_of_the_paper_is_half_the_size_of_the_layer_times_it() -> None:
    student_BCHW, teacher_BCHW = _layer(0, 5, 3, 4, 2), _layer(1, 5, 3, 4, 2)

    loss = layer_distance(student_BCHW, teacher_BCHW)

    paper_B = (student_BCHW - teacher_BCHW).flatten(1).norm(dim=1).square() / 2
    assert 24 / 2 * loss.item() == pytest.approx(paper_B.mean().item(), rel=1e-12)


def test_identical_layers_give_exactly_zero() -> None:
    layer = _layer(2, 3, 4, 2, 2).float()

    assert layer_distance(layer, layer.clone()).item() == 0.0


def test_gradient_passes_gradcheck() -> None:
    layers = [_layer(seed, 2, 3, 2).requires_grad_() for seed in (3, 4)]

    assert torch.autograd.gradcheck(layer_distance, layers)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_layers_are_squared_in_float32(dtype: torch.dtype) -> None:
    # 300² is above float16's largest number, 257 of them not one of bfloat16's steps.
    student = torch.full((1, 257), 300.0, dtype=dtype)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = layer_distance(student, torch.zeros(1, 257))

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(300.0**2, rel=1e-6)
