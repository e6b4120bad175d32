"""Mean losses over the steps since the last reading, without making the device wait."""

from collections import deque
from dataclasses import dataclass

import torch

from kdcore.distributed import ALONE, World


@dataclass(frozen=True)
class Reading:
    """Mean of each loss term over the steps that end at `step`."""

    step: int
    means: dict[str, float]


@dataclass(frozen=True)
class _Pending:
    step: int
    names: tuple[str, ...]
    means: torch.Tensor
    copied: torch.cuda.Event | None


class LossWindow:
    """Sums loss terms on the device; a reading is copied out while training goes on.

    On CPU a reading is available at once. On CUDA it is copied to pinned memory behind the
    steps already queued and handed out when the copy has landed. Where processes share each batch,
    a reading is of what all of them added, and each gets it at the same step.
    """

    def __init__(self, device: torch.device, world: World = ALONE) -> None:
        self._device = device
        self._world = world
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        self._pending: deque[_Pending] = deque()

    def add(self, terms: dict[str, torch.Tensor]) -> None:
        """Add the detached scalar loss terms of one step."""
        for name, value in terms.items():
            detached = value.detach().float()
            self._sums[name] = self._sums[name] + detached if name in self._sums else detached
        self._count += 1

    def close(self, step: int) -> None:
        """End the window at `step`: what was added since the last call becomes a reading."""
        if not self._count:
            return
        means = self._world.total(torch.stack(list(self._sums.values()))) / self._count
        copied = None
        if self._device.type == "cuda":
            host = torch.empty(means.shape, dtype=means.dtype, pin_memory=True)
            means = host.copy_(means, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            copied.record()
        self._pending.append(_Pending(step, tuple(self._sums), means, copied))
        self._sums, self._count = {}, 0

    def readings(self, *, wait: bool) -> list[Reading]:
        """Take the readings that have landed, oldest first; with `wait`, all of them."""
        landed = []
        while self._pending:
            head = self._pending[0]
            if head.copied is not None and not self._may_take(head.copied, wait=wait):
                break
            self._pending.popleft()
            landed.append(
                Reading(head.step, dict(zip(head.names, head.means.tolist(), strict=True)))
            )
        return landed

    def _may_take(self, copied: torch.cuda.Event, *, wait: bool) -> bool:
        """Tell whether the oldest reading is to be taken, after waiting for it if need be."""
        if not self._world.is_alone:
            # When a copy lands differs between devices; what follows from it must not.
            wait = wait or len(self._pending) > 1
            if not wait:
                return False
        if not wait:
            return bool(copied.query())  # type: ignore[no-untyped-call]  # torch leaves it untyped
        copied.synchronize()
        return True

    def state(self) -> tuple[dict[str, torch.Tensor], int]:
        """The open window (sums by name, number of steps), for a checkpoint.

        Where processes share each batch, a sum has one value for each of them.
        """
        if self._world.is_alone:
            return dict(self._sums), self._count
        return {name: self._world.gathered(each) for name, each in self._sums.items()}, self._count

    def restore(self, sums: dict[str, torch.Tensor], count: int) -> None:
        """Go on with an open window taken by `state`."""
        own = sums if self._world.is_alone else {k: v[self._world.rank] for k, v in sums.items()}
        self._sums = {name: value.to(self._device) for name, value in own.items()}
        self._count = count
