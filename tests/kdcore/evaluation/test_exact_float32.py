"""Exact float32 for a while; settings are put back."""

import pytest
import torch

from kdcore.evaluation import exact_float32

CPU = torch.device("cpu")


def test_products_are_exact_inside_and_as_before_afterwards() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        with exact_float32(CPU):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_autocast_around_it_does_not_reach_inside() -> None:
    a_22 = torch.eye(2)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a_22 @ a_22).dtype is torch.bfloat16
        with exact_float32(CPU):
            assert (a_22 @ a_22).dtype is torch.float32


def test_settings_come_back_after_an_error() -> None:
    before = torch.get_float32_matmul_precision()

    with pytest.raises(RuntimeError, match="boom"), exact_float32(CPU):
        raise RuntimeError("boom")

    assert torch.get_float32_matmul_precision() == before
