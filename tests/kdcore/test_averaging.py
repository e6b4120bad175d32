"""Means over networks against numpy, closed forms and their own gradients."""

# K networks, B batch, C classes

from functools import partial

import numpy as np
import pytest
import torch

from kdcore.averaging import mean_of_logits, mean_of_probabilities


def _logits_KBC(*, networks: int = 3, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 4 * torch.randn(networks, 5, 7, generator=generator, dtype=torch.float64).to(dtype)


def test_mean_of_logits_is_the_weighted_mean() -> None:
    logits_KBC = _logits_KBC()

    mean_BC = mean_of_logits(logits_KBC, (1.0, 2.0, 5.0))

    expected = np.average(logits_KBC.numpy(), axis=0, weights=(1.0, 2.0, 5.0))
    np.testing.assert_allclose(mean_BC.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_softmax_of_the_mean_of_probabilities_is_that_mean_at_its_temperature(
    temperature: float,
) -> None:
    logits_KBC = _logits_KBC()

    mean_BC = mean_of_probabilities(logits_KBC, (1.0, 2.0, 5.0), temperature=temperature)

    powers = np.exp(logits_KBC.numpy() / temperature)
    each = powers / powers.sum(axis=2, keepdims=True)
    expected = np.average(each, axis=0, weights=(1.0, 2.0, 5.0))
    np.testing.assert_allclose((mean_BC / temperature).softmax(1).numpy(), expected, rtol=1e-9)


def test_one_network_keeps_its_probabilities_at_every_temperature() -> None:
    logits_KBC = _logits_KBC(networks=1)

    for mean in (mean_of_logits, partial(mean_of_probabilities, temperature=3.0)):
        for temperature in (1.0, 3.0):
            torch.testing.assert_close(
                (mean(logits_KBC, (7.0,)) / temperature).softmax(1),
                (logits_KBC[0] / temperature).softmax(1),
            )


def test_only_proportions_of_weights_count() -> None:
    logits_KBC = _logits_KBC()

    for mean in (mean_of_logits, mean_of_probabilities):
        torch.testing.assert_close(
            mean(logits_KBC, (1.0, 2.0, 3.0)), mean(logits_KBC, (1e6, 2e6, 3e6))
        )


def test_probabilities_too_small_for_float32_are_not_lost() -> None:
    # Both networks give the second class e^-400, which float32 rounds to 0.
    logits_KBC = torch.tensor([[[400.0, 0.0]], [[400.0, 0.0]]])

    mean_BC = mean_of_probabilities(logits_KBC, (1.0, 1.0))

    torch.testing.assert_close(mean_BC, torch.tensor([[0.0, -400.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_averaged_in_float32(dtype: torch.dtype) -> None:
    logits_KBC = _logits_KBC(dtype=dtype)

    for mean in (mean_of_logits, mean_of_probabilities):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean_BC = mean(logits_KBC, (1.0, 1.0, 1.0))
        assert mean_BC.dtype == torch.float32
        assert torch.equal(mean_BC, mean(logits_KBC.float(), (1.0, 1.0, 1.0)))


def test_gradients_pass_gradcheck() -> None:
    logits_KBC = _logits_KBC().requires_grad_()

    for mean in (mean_of_logits, partial(mean_of_probabilities, temperature=2.0)):
        assert torch.autograd.gradcheck(partial(mean, weights=(1.0, 2.0, 5.0)), logits_KBC)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0)])
def test_weights_that_are_not_one_positive_number_a_network_are_refused(
    weights: tuple[float, ...],
) -> None:
    with pytest.raises(ValueError, match="3 networks"):
        mean_of_logits(_logits_KBC(), weights)
