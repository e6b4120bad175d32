"""The processes that train together, and what they tell each other.

N processes.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from kdcore.distributed.batch_part import BatchPart


@dataclass(frozen=True, eq=False)
class World:
    """`size` processes, of which this one is number `rank`; rank 0 reports and writes files.

    Every method must be called by all of them, in the same order. On its own a process gets back
    what it gave, and nothing is computed.

    Attributes:
        host_group: Carries tensors on the CPU; the default group carries those on devices.
    """

    rank: int = 0
    size: int = 1
    host_group: dist.ProcessGroup | None = None

    @property
    def is_alone(self) -> bool:
        """Whether there is one process."""
        return self.size == 1

    def part_of(self, num_images: int) -> BatchPart:
        """Give this process' part of a batch."""
        return BatchPart(num_images, self.rank, self.size)

    def agreed(self, decision: int) -> int:
        """Give every process the decision of rank 0. Waits for rank 0, not for any device."""
        if self.is_alone:
            return decision
        told = torch.tensor(decision)
        dist.broadcast(told, src=0, group=self.host_group)
        return int(told)

    def wait_for_first(self) -> None:
        """Return once rank 0 has come here too; it waits for nobody."""
        self.agreed(0)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give the sum over the processes, which all hold a tensor of one shape."""
        if self.is_alone:
            return tensor
        summed = tensor.detach().clone()
        dist.all_reduce(summed, group=self.group_of(summed))
        return summed

    def gathered(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give the tensors of all processes, of one shape, stacked by rank: [N, …]."""
        if self.is_alone:
            return tensor[None]
        own = tensor.detach().contiguous()
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(everyone, own, group=self.group_of(own))
        return torch.stack(everyone)

    def gathered_rows(self, rows: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
        """Give the rows of all processes, one's behind the other's; `sizes` has their numbers."""
        if self.is_alone:
            return rows
        # Of one length, as gloo wants them.
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows.detach()
        everyone = self.gathered(padded)
        return torch.cat([each[:size] for each, size in zip(everyone, sizes, strict=True)])

    def group_of(self, tensor: torch.Tensor) -> dist.ProcessGroup | None:
        """Give the group that carries this tensor; None is torch's default."""
        return self.host_group if tensor.device.type == "cpu" else None


ALONE = World()
