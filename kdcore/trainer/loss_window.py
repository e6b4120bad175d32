"""Mean losses over the steps since the last reading, without making the device wait."""

from collections import deque
from dataclasses import dataclass

import torch


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
    steps already queued and handed out when the copy has landed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
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
        means = torch.stack(list(self._sums.values())) / self._count
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
            if head.copied is not None and not head.copied.query():  # type: ignore[no-untyped-call]  # torch leaves it untyped
                if not wait:
                    break
                head.copied.synchronize()
            self._pending.popleft()
            landed.append(
                Reading(head.step, dict(zip(head.names, head.means.tolist(), strict=True)))
            )
        return landed

    def state(self) -> tuple[dict[str, torch.Tensor], int]:
        """The open window (sums by name, number of steps), for a checkpoint."""
        return dict(self._sums), self._count

    def restore(self, sums: dict[str, torch.Tensor], count: int) -> None:
        """Go on with an open window taken by `state`."""
        self._sums = {name: value.to(self._device) for name, value in sums.items()}
        self._count = count
