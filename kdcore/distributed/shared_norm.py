"""BatchNorm over the whole batch, of which each process has a part.

N processes, B images of this process' part, C channels, X places.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.distributed.world import World


def share_batch_norm(network: nn.Module, world: World) -> None:
    """Make every BatchNorm below `network` take its statistics from all processes' images.

    In place: parameters, buffers and names stay what they are. On CUDA by torch's
    SyncBatchNorm, which has no CPU form; on the CPU by `SharedBatchNorm`.
    """
    is_cuda = any(parameter.is_cuda for parameter in network.parameters())
    make: Callable[[_BatchNorm], nn.Module] = (
        nn.SyncBatchNorm.convert_sync_batchnorm
        if is_cuda
        else lambda norm: SharedBatchNorm(norm, world)
    )
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(
                child, SharedBatchNorm | nn.SyncBatchNorm
            ):
                setattr(parent, name, make(child))


class SharedBatchNorm(_BatchNorm):
    """BatchNorm whose mean and variance in training are those of all processes together.

    Each process sends its mean, biased variance and number of values a channel; together they
    give those of the union exactly, up to rounding, and gradients flow back through all of them.
    In eval mode it is plain BatchNorm, and so it is while every process has the whole batch.

    Args:
        norm: Whose parameters, buffers and mode this takes over.
        world: The processes.
    """

    def __init__(self, norm: _BatchNorm, world: World) -> None:
        super().__init__(
            norm.num_features,
            eps=norm.eps,
            momentum=norm.momentum,
            affine=norm.affine,
            track_running_stats=norm.track_running_stats,
        )
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training = norm.training
        self._world = world
        self.is_split = True
        """Whether processes have different images."""

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002  # torch's name
        """Take what the layer that this one replaces took."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's name
        """Normalise values_BCX."""
        if not self.training or not self.is_split:
            return super().forward(input)
        values_BCX = input.to(torch.promote_types(input.dtype, torch.float32))
        with torch.autocast(input.device.type, enabled=False):
            mean_C, variance_C, count = self._statistics(values_BCX)
            self._remember(mean_C.detach(), variance_C.detach(), count)
            scale_C = torch.rsqrt(variance_C + self.eps)
            if self.weight is not None:
                scale_C = scale_C * self.weight
            shift_C = -mean_C * scale_C
            if self.bias is not None:
                shift_C = shift_C + self.bias
            shape = (1, -1, *([1] * (values_BCX.dim() - 2)))
            out_BCX = torch.addcmul(shift_C.view(shape), values_BCX, scale_C.view(shape))
        return out_BCX.to(input.dtype)

    def _statistics(
        self, values_BCX: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give mean_C, biased variance_C and the number of values a channel, of all processes."""
        dimensions = [0, *range(2, values_BCX.dim())]
        variance_C, mean_C = torch.var_mean(values_BCX, dimensions, correction=0)
        count_1 = mean_C.new_full((1,), values_BCX.numel() / values_BCX.shape[1])
        own = torch.cat([mean_C, variance_C, count_1])
        everyone: torch.Tensor = _Everyone.apply(own, self._world)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        mean_NC, variance_NC, count_N1 = torch.split(everyone, [len(mean_C), len(mean_C), 1], dim=1)
        count = count_N1.sum()
        share_N1 = count_N1 / count
        whole_C = (share_N1 * mean_NC).sum(0)
        spread_NC = variance_NC + (mean_NC - whole_C).square()
        return whole_C, (share_N1 * spread_NC).sum(0), count

    def _remember(
        self, mean_C: torch.Tensor, variance_C: torch.Tensor, count: torch.Tensor
    ) -> None:
        """Move the running statistics as torch's BatchNorm does."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        weight = 1 / int(self.num_batches_tracked or 1) if self.momentum is None else self.momentum
        unbiased_C = variance_C * (count / (count - 1)).detach()
        self.running_mean.lerp_(mean_C, weight)
        self.running_var.lerp_(unbiased_C, weight)


class _Everyone(torch.autograd.Function):
    """All processes' vectors_NK of own_K; the gradient is the sum of what each says of it."""

    @staticmethod
    def forward(
        ctx: Any,  # torch's context takes any attribute
        own_K: torch.Tensor,
        world: World,
    ) -> torch.Tensor:
        ctx.world = world
        return world.gathered(own_K)

    @staticmethod
    def backward(ctx: Any, gradient_NK: torch.Tensor) -> tuple[torch.Tensor, None]:
        world: World = ctx.world
        return world.total(gradient_NK)[world.rank], None
