"""Attention maps against a peer's numbers and their closed forms."""

# B batch, C channels, H height, W width, S places

from typing import Any

import pytest
import torch

from kdcore.methods import attention_loss, attention_maps
from tests.kdcore.methods.peers import cases_of


def _maps(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("case", cases_of("repdistiller_attention"))
def test_loss_and_gradient_equal_those_of_repdistiller(case: dict[str, Any]) -> None:
    """Among the cases are student and teacher of other channels, and each larger than the other."""
    student_BCHW = torch.tensor(case["student"], dtype=torch.float64, requires_grad=True)
    teacher_BCHW = torch.tensor(case["teacher"], dtype=torch.float64)

    loss = attention_loss(student_BCHW, teacher_BCHW)
    (gradient_BCHW,) = torch.autograd.grad(loss, student_BCHW)

    assert loss.item() == pytest.approx(case["loss"], rel=1e-12)
    expected_BCHW = torch.tensor(case["student_gradient"], dtype=torch.float64)
    torch.testing.assert_close(gradient_BCHW, expected_BCHW, rtol=1e-10, atol=1e-14)


def test_attention_is_what_one_works_out_by_hand() -> None:
    # Squares averaged over both channels are 2 and 1.5, divided by their norm 2.5.
    maps_BCHW = torch.tensor([[[[2.0, 1.0]], [[0.0, 2.0**0.5]]]])

    torch.testing.assert_close(attention_maps(maps_BCHW), torch.tensor([[0.8, 0.6]]))


def test_attention_has_norm_one_and_does_not_depend_on_the_scale() -> None:
    maps_BCHW = _maps(0, 3, 4, 5, 2)
    attention_BS = attention_maps(maps_BCHW)

    torch.testing.assert_close(attention_BS.norm(dim=1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(attention_maps(7 * maps_BCHW), attention_BS)


def test_identical_maps_give_exactly_zero() -> None:
    maps_BCHW = _maps(1, 3, 2, 4, 4).float()

    assert attention_loss(maps_BCHW, maps_BCHW.clone()).item() == 0.0


def test_same_attention_in_other_channels_gives_zero() -> None:
    maps_BCHW = _maps(1, 3, 2, 4, 4)

    loss = attention_loss(maps_BCHW, maps_BCHW.repeat(1, 2, 1, 1))

    assert loss.item() == pytest.approx(0.0, abs=1e-30)


def test_squares_are_averaged_over_batch_and_places() -> None:
    student_BCHW, teacher_BCHW = _maps(2, 3, 2, 4, 4), _maps(3, 3, 5, 4, 4)

    loss = attention_loss(student_BCHW, teacher_BCHW)

    distances_B = (attention_maps(student_BCHW) - attention_maps(teacher_BCHW)).norm(dim=1)
    assert loss.item() == pytest.approx(distances_B.square().mean().item() / 16, rel=1e-12)


def test_sides_that_are_longer_are_pooled_whichever_network_has_them() -> None:
    student_BCHW, teacher_BCHW = _maps(4, 2, 2, 6, 2), _maps(5, 2, 3, 3, 4)

    loss = attention_loss(student_BCHW, teacher_BCHW)

    by_hand = attention_loss(
        student_BCHW.reshape(2, 2, 3, 2, 2).mean(3), teacher_BCHW.reshape(2, 3, 3, 2, 2).mean(4)
    )
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-12)


def test_gradient_passes_gradcheck() -> None:
    layers = [_maps(seed, 1, 2, 3, 2).requires_grad_() for seed in (6, 7)]

    assert torch.autograd.gradcheck(attention_loss, layers)


def test_maps_that_are_zero_everywhere_have_a_finite_loss_and_no_gradient() -> None:
    dead_BCHW = torch.zeros(1, 2, 2, 2, requires_grad=True)

    loss = attention_loss(dead_BCHW, torch.ones(1, 2, 2, 2))
    (gradient_BCHW,) = torch.autograd.grad(loss, dead_BCHW)

    assert loss.item() == pytest.approx(0.25)
    assert not gradient_BCHW.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_squared_and_summed_in_float32(dtype: torch.dtype) -> None:
    student_BCHW, teacher_BCHW = ((_maps(s, 2, 3, 4, 4) * 300).to(dtype) for s in (8, 9))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = attention_loss(student_BCHW, teacher_BCHW)

    assert loss.dtype == torch.float32
    exact = attention_loss(student_BCHW.double(), teacher_BCHW.double())
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
