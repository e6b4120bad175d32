"""Rows with their means taken off, and which of them had nothing else: they have no direction.

R rows, C columns.
"""

from dataclasses import dataclass

import torch

# Of a row's length: what rounding alone leaves of a constant one, with a margin.
_ROUNDING = 8.0


@dataclass(frozen=True, eq=False)
class CentredRows:
    """Rows of mean 0.

    Attributes:
        values_RC: What the rows are beside their means.
        norms_R1: Their Euclidean lengths; their gradient is 0 where they are.
        is_constant_R1: Whether a row is constant up to rounding. Whatever divides by such a norm
            must then take a value of its own, without gradient, or the gradient has no bound.
    """

    values_RC: torch.Tensor
    norms_R1: torch.Tensor
    is_constant_R1: torch.Tensor


def centre_rows(values_RC: torch.Tensor) -> CentredRows:
    """Take its mean off each row."""
    centred_RC = values_RC - values_RC.mean(dim=1, keepdim=True)
    norms_R1 = torch.linalg.vector_norm(centred_RC, dim=1, keepdim=True)
    with torch.no_grad():
        whole_R1 = torch.linalg.vector_norm(values_RC, dim=1, keepdim=True)
        smallest_R1 = _ROUNDING * torch.finfo(values_RC.dtype).eps * whole_R1
        is_constant_R1 = norms_R1 <= smallest_R1
    return CentredRows(centred_RC, norms_R1, is_constant_R1)
