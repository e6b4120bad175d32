"""Names, shapes and types must be exactly those of the architecture; the message says which not."""

import pytest
import torch
from torch import nn

from kdcore.checkpoints import Code, TensorEntry
from kdcore.checkpoints.entries import Place
from kdcore.checkpoints.match import check_match, expected_tensors
from kdcore.errors import CheckpointRejected

EXPECTED = expected_tensors(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))


def entry(*shape: int, dtype: torch.dtype = torch.float32) -> TensorEntry:
    return TensorEntry(dtype, shape, 0, Place(0, 0))


@pytest.fixture
def found() -> dict[str, TensorEntry]:
    return {name: entry(*tensor.shape, dtype=tensor.dtype) for name, tensor in EXPECTED.items()}


def refusal_of(found: dict[str, TensorEntry]) -> CheckpointRejected:
    with pytest.raises(CheckpointRejected) as caught:
        check_match(found, EXPECTED)
    return caught.value


def test_exact_match_passes(found: dict[str, TensorEntry]) -> None:
    check_match(found, EXPECTED)


def test_missing_tensor_is_named(found: dict[str, TensorEntry]) -> None:
    del found["0.bias"]
    error = refusal_of(found)
    assert (error.code, error.tensor) == (Code.TENSOR_MISSING, "0.bias")


def test_missing_and_unexpected_are_named_together(found: dict[str, TensorEntry]) -> None:
    found["head.bias"] = found.pop("0.bias")
    error = refusal_of(found)
    assert (error.code, error.tensor) == (Code.TENSOR_MISSING, "0.bias")
    assert "head.bias" in error.message


def test_prefix_of_a_wrapper_is_explained(found: dict[str, TensorEntry]) -> None:
    error = refusal_of({f"module.{name}": value for name, value in found.items()})
    assert error.code == Code.TENSOR_MISSING
    assert "'module.'" in error.message


def test_unexpected_tensor_is_named(found: dict[str, TensorEntry]) -> None:
    error = refusal_of(found | {"extra": entry(1)})
    assert (error.code, error.tensor) == (Code.TENSOR_UNEXPECTED, "extra")


def test_other_shape_is_told_with_both(found: dict[str, TensorEntry]) -> None:
    error = refusal_of(found | {"0.weight": entry(10, 3)})
    assert (error.code, error.tensor) == (Code.SHAPE_MISMATCH, "0.weight")
    assert (error.expected, error.found) == ("2×3", "10×3")


def test_scalar_is_not_a_vector_of_one(found: dict[str, TensorEntry]) -> None:
    error = refusal_of(found | {"1.num_batches_tracked": entry(1, dtype=torch.int64)})
    assert (error.code, error.expected) == (Code.SHAPE_MISMATCH, "a single number")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_for_float32(
    found: dict[str, TensorEntry], dtype: torch.dtype
) -> None:
    check_match(found | {"0.weight": entry(2, 3, dtype=dtype)}, EXPECTED)


@pytest.mark.parametrize(
    "dtype",
    [torch.complex64, torch.int8, torch.uint8, torch.int64, torch.bool, torch.float8_e4m3fn],
)
def test_type_that_is_no_float_is_refused_for_weights(
    found: dict[str, TensorEntry], dtype: torch.dtype
) -> None:
    error = refusal_of(found | {"0.weight": entry(2, 3, dtype=dtype)})
    assert (error.code, error.tensor) == (Code.DTYPE_MISMATCH, "0.weight")
    assert (error.expected, error.found) == ("float32", str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bool])
def test_integer_buffers_must_be_exact(found: dict[str, TensorEntry], dtype: torch.dtype) -> None:
    error = refusal_of(found | {"1.num_batches_tracked": entry(dtype=dtype)})
    assert (error.code, error.expected) == (Code.DTYPE_MISMATCH, "int64")
