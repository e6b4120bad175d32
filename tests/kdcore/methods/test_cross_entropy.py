"""Cross-entropy against its formula."""

# B batch, C classes

import math

import pytest
import torch

from kdcore.methods import cross_entropy


def test_loss_is_mean_negative_log_probability_of_the_label() -> None:
    # Probabilities 1/4 and 3/4 of class 0.
    logits_BC = torch.tensor([[0.0, math.log(3.0)], [math.log(3.0), 0.0]])

    loss = cross_entropy(logits_BC, torch.tensor([0, 0]))

    assert loss.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-6)


def test_gradient_passes_gradcheck() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BC = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss_of(logits_BC: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits_BC, torch.tensor([3, 0, 1]))

    assert torch.autograd.gradcheck(loss_of, (logits_BC,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits_BC = torch.linspace(-3, 3, 40).reshape(4, 10).to(dtype)
    labels_B = torch.tensor([0, 3, 5, 9])

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cross_entropy(logits_BC, labels_B)

    assert loss.dtype == torch.float32
    exact = cross_entropy(logits_BC.double(), labels_B)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
