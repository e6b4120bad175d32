"""Snapshots of a job between two steps, taken at the speed of memory."""

from dataclasses import dataclass

import torch

from kdcore.trainer.checkpoints import CheckpointHeader, JobState, Tensors


@dataclass(frozen=True)
class Snapshot:
    """A job's state in host memory that no later step changes."""

    header: CheckpointHeader
    tensors: Tensors
    """By their names in the file."""
    copied: torch.cuda.Event | None
    """Comes when the tensors are there; None if they are already."""

    def wait(self) -> None:
        """Wait until the tensors are there."""
        if self.copied is not None:
            self.copied.synchronize()


class Staging:
    """Host memory for one snapshot, kept for the next: fresh memory costs more than the copy.

    On CUDA it is pinned. The copy runs on the device behind the steps already queued and before
    those that come, and this process goes on queueing.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._tensors: Tensors = {}

    def snapshot(self, state: JobState) -> Snapshot:
        """Copy what the next step would change. The snapshot before must no longer be in use."""
        changing = state.changing()
        self._tensors = {name: self._room_for(name, each) for name, each in changing.items()}
        for name, tensor in changing.items():
            self._tensors[name].copy_(tensor.detach(), non_blocking=True)
        return Snapshot(state.header, {**self._tensors, **state.settled()}, self._mark())

    def _room_for(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Give memory of the tensor's own layout, so that the copy rearranges nothing."""
        room = self._tensors.get(name)
        if (
            room is not None
            and (room.shape, room.dtype) == (tensor.shape, tensor.dtype)
            and room.stride() == tensor.stride()
        ):
            return room
        return torch.empty_like(
            tensor, device="cpu", pin_memory=tensor.is_cuda, requires_grad=False
        )

    def _mark(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        copied.record(torch.cuda.current_stream(self._device))
        return copied
