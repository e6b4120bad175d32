"""Rows of every process' part, brought together with their gradients.

B images of the whole batch, b of this process' part, X whatever follows.
"""

from typing import Any

import torch

from kdcore.distributed.batch_part import BatchPart
from kdcore.distributed.world import World


def whole_batch(rows_bX: torch.Tensor, part: BatchPart, world: World) -> torch.Tensor:
    """Give rows_BX of all processes; gradients reach the rows of this one.

    For a loss that every process computes alike from the whole batch. Its gradient with respect
    to the rows of this process comes back times the number of processes: each of them counts the
    loss as `part.share_of_whole`, and knows no rows but its own.
    """
    if not part.is_split:
        return rows_bX
    whole_BX: torch.Tensor = _WholeBatch.apply(rows_bX, part, world)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return whole_BX


class _WholeBatch(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # torch's context takes any attribute
        rows_bX: torch.Tensor,
        part: BatchPart,
        world: World,
    ) -> torch.Tensor:
        ctx.part = part
        return world.gathered_rows(rows_bX, part.sizes)

    @staticmethod
    def backward(ctx: Any, gradient_BX: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        part: BatchPart = ctx.part
        return gradient_BX[part.rows] * part.world_size, None, None
