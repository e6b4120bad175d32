"""Whether a file's tensors are exactly those of an architecture, by name, shape and type."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from kdcore.checkpoints.codes import Code, refusal
from kdcore.checkpoints.dtypes import dtype_name
from kdcore.checkpoints.entries import TensorEntry
from kdcore.errors import CheckpointRejected

# What is turned into float32 where the network has float32; nothing else is ever converted.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class ExpectedTensor:
    """A tensor that the architecture has."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def expected_tensors(network: nn.Module) -> dict[str, ExpectedTensor]:
    """List the tensors of a network's state dict, in its order; it may be on meta."""
    return {
        name: ExpectedTensor(tensor.dtype, tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def check_match(found: Mapping[str, TensorEntry], expected: Mapping[str, ExpectedTensor]) -> None:
    """Compare names, then shapes and types.

    Raises:
        CheckpointRejected: naming the first tensor that is missing, unexpected or different.
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if missing:
        raise _missing(missing, unexpected, found, expected)
    if unexpected:
        raise refusal(
            Code.TENSOR_UNEXPECTED,
            f"The file has tensor {unexpected[0]}, which this architecture does not have "
            f"({_count(unexpected)} in all). Check the architecture and its parameters, or save "
            "the weights of this network alone.",
            tensor=unexpected[0],
        )
    for name, tensor in expected.items():
        _check_one(name, found[name], tensor)


def _missing(
    missing: list[str],
    unexpected: list[str],
    found: Mapping[str, TensorEntry],
    expected: Mapping[str, ExpectedTensor],
) -> CheckpointRejected:
    prefix = _common_prefix(missing[0], unexpected, found, expected)
    if prefix is not None:
        text = (
            f"The names begin with {prefix!r}, as wrappers such as DataParallel write them. Save "
            f"the inner network, or strip it: {{k.removeprefix({prefix!r}): v for k, v in ...}}."
        )
    else:
        beside = f", but has {unexpected[0]}, which is not in it" if unexpected else ""
        text = (
            f"The file lacks tensor {missing[0]} of this architecture ({_count(missing)} in "
            f"all){beside}. Check the architecture and its parameters."
        )
    return refusal(Code.TENSOR_MISSING, text, tensor=missing[0], expected=missing[0])


def _common_prefix(
    name: str,
    unexpected: list[str],
    found: Mapping[str, TensorEntry],
    expected: Mapping[str, ExpectedTensor],
) -> str | None:
    """Return what stands before every expected name in the file, if that explains them all."""
    for candidate in unexpected:
        if candidate.endswith(f".{name}"):
            prefix = candidate.removesuffix(name)
            if all(prefix + other in found for other in expected):
                return prefix
    return None


def _check_one(name: str, found: TensorEntry, expected: ExpectedTensor) -> None:
    if found.shape != expected.shape:
        raise refusal(
            Code.SHAPE_MISMATCH,
            f"Tensor {name} has the shape {_shape(found.shape)}; this architecture needs "
            f"{_shape(expected.shape)}. Check the architecture's parameters, the input and the "
            "number of classes.",
            tensor=name,
            expected=_shape(expected.shape),
            found=_shape(found.shape),
        )
    is_same = found.dtype == expected.dtype
    if not is_same and not (expected.dtype is torch.float32 and found.dtype in _FLOATS):
        raise refusal(
            Code.DTYPE_MISMATCH,
            f"Tensor {name} holds {dtype_name(found.dtype)}; this architecture needs "
            f"{dtype_name(expected.dtype)}. Convert it before saving.",
            tensor=name,
            expected=dtype_name(expected.dtype),
            found=dtype_name(found.dtype),
        )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _count(names: list[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
