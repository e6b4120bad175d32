"""Rows without their means: exact where there is something, marked where there is nothing."""

# R rows, C columns

import pytest
import torch

from kdcore.methods.centred_rows import centre_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_rows_are_marked_although_rounding_leaves_something(dtype: torch.dtype) -> None:
    # The mean of seven numbers 0.1 is not 0.1.
    values_RC = torch.tensor([[0.1] * 7, [0.0] * 7, [1e5] * 7], dtype=dtype)

    assert centre_rows(values_RC).is_constant_R1.tolist() == [[True], [True], [True]]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_rows_that_vary_are_not_marked_however_small(scale: float) -> None:
    rows = centre_rows(scale * torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.001]]))

    assert rows.is_constant_R1.tolist() == [[False], [False]]
    torch.testing.assert_close(rows.values_RC[0] / scale, torch.tensor([-1.0, 0.0, 1.0]))
    assert rows.norms_R1[0].item() / scale == pytest.approx(2**0.5)


def test_gradient_of_the_norm_of_a_constant_row_is_zero_not_nan() -> None:
    values_RC = torch.full((1, 4), 0.25, requires_grad=True)

    (gradient_RC,) = torch.autograd.grad(centre_rows(values_RC).norms_R1.sum(), values_RC)

    assert gradient_RC.tolist() == [[0.0, 0.0, 0.0, 0.0]]
