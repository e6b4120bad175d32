"""What is known of a tensor in a file before it is read: its type, its shape, its place."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Place:
    """Where a tensor's elements lie: a run of bytes in one file, and the steps inside it.

    `span_bytes` covers every element; `strides` counts elements, None for row-major order.
    """

    offset: int
    span_bytes: int
    strides: tuple[int, ...] | None = None
    file: int = 0


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a foreign checkpoint; all numbers are already checked against the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    nbytes: int
    place: Place
