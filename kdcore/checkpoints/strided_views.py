"""Views into a storage: whether shape, strides and offset stay inside it and share nothing."""

from dataclasses import dataclass
from typing import Any

from kdcore.checkpoints import limits
from kdcore.checkpoints.codes import RESAVE_STATE_DICT, Code, refusal
from kdcore.checkpoints.pickle_symbols import Tensor


@dataclass(frozen=True)
class View:
    """A checked view; offset, span and strides count elements; `strides` None is row-major."""

    shape: tuple[int, ...]
    num_elements: int
    offset: int
    span: int
    strides: tuple[int, ...] | None


def place_view(name: str, tensor: Tensor) -> View:
    """Check the numbers of one tensor against its storage.

    Raises:
        CheckpointRejected: if a number is not one torch writes, if two elements share their
            bytes (as with stride 0), or if the view leaves the storage.
    """
    shape, strides = tensor.shape, tensor.strides
    if len(shape) > limits.MAX_RANK:
        raise refusal(
            Code.TENSOR_RANK,
            f"Tensor {name} has more than {limits.MAX_RANK} dimensions.",
            tensor=name,
            expected=f"at most {limits.MAX_RANK} dimensions",
            found=f"{len(shape)} dimensions",
        )
    if any(not _is_count(size, 1) for size in shape):
        raise refusal(
            Code.TENSOR_SHAPE,
            f"Tensor {name} has a dimension that is not a whole number from 1 up. "
            f"{RESAVE_STATE_DICT}",
            tensor=name,
        )
    span = _span(name, shape, strides)
    offset = tensor.offset
    if not _is_count(offset, 0) or offset + span > tensor.storage.num_elements:
        raise refusal(
            Code.TENSOR_PAST_STORAGE,
            f"Tensor {name} lies outside the bytes stored for it. {RESAVE_STATE_DICT}",
            tensor=name,
            expected=f"within {tensor.storage.num_elements} elements",
        )
    num_elements = 1
    for size in shape:
        num_elements *= size
    return View(shape, num_elements, offset, span, _steps(shape, strides))


def _is_count(value: Any, smallest: int) -> bool:
    return type(value) is int and value >= smallest


def _span(name: str, shape: tuple[int, ...], strides: tuple[Any, ...]) -> int:
    """Return the elements from the first to the last, after proving that no two coincide."""
    span = 1
    valid = len(strides) == len(shape) and all(_is_count(stride, 0) for stride in strides)
    for stride, size in sorted(zip(strides, shape, strict=True)) if valid else ():
        if size > 1:
            # Every step must clear all that the smaller steps reach.
            valid = valid and stride >= span
            span += stride * (size - 1)
    if not valid:
        raise refusal(
            Code.TENSOR_STRIDE,
            f"Tensor {name} is an expanded or overlapping view. Save it with "
            ".contiguous().clone().",
            tensor=name,
        )
    return span


def _steps(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    expected = 1
    is_row_major = True
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        is_row_major = is_row_major and (size == 1 or stride == expected)
        expected *= size
    # The step along a dimension of one element is never taken, so it may be any number.
    return (
        None
        if is_row_major
        else tuple(stride if size > 1 else 1 for size, stride in zip(shape, strides, strict=True))
    )
