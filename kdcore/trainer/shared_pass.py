"""One step's forward pass as one module: what DistributedDataParallel wraps."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kdcore.data import Batch
from kdcore.devices import Compute
from kdcore.distributed import SharedBatchNorm, World, share_batch_norm
from kdcore.features import Observation, Tapped
from kdcore.methods import Labels, LossTerms, Objective, Step
from kdcore.methods.shared_step import SharedBatch


class ForwardPass(nn.Module):
    """The student and what its stage minimises; its parameters are all that the stage trains."""

    def __init__(self, student: Tapped, objective: Objective, compute: Compute) -> None:
        super().__init__()
        self.student = student
        self.objective = objective
        self._compute = compute

    def forward(
        self,
        batch: Batch,
        teacher: Observation | None,
        *,
        epoch: float,
        shared: SharedBatch | None = None,
    ) -> LossTerms:
        """Give the losses of a batch, or what this process' part of it adds to them."""
        if shared is not None:
            self._tell_norms(shared)
        with self._compute.autocast():
            student: Observation = self.student(batch.images_BCHW)
            losses: LossTerms = self.objective(
                Step(
                    student=student,
                    teacher=teacher,
                    labels=self._labels(batch),
                    images_BCHW=batch.images_BCHW,
                    indices_B=batch.member_B,
                    epoch=epoch,
                ),
                shared,
            )
        return losses

    def _tell_norms(self, shared: SharedBatch) -> None:
        for module in self.modules():
            if isinstance(module, SharedBatchNorm):
                module.is_split = shared.part.is_split

    def _labels(self, batch: Batch) -> Labels | None:
        if not self.objective.needs_labels:
            return None
        return Labels(batch.labels_B, batch.other_B, batch.share_B)


def shared_pass(forward: ForwardPass, world: World) -> nn.Module:
    """Make the pass add up its gradients over the processes while they are computed.

    BatchNorm then takes its statistics from the whole batch; in terms that see all of it anyway
    it is left alone. DistributedDataParallel takes means over processes, so the loss must be
    taken times their number: see `backward`. A process that trains alone gets the pass as it is.
    """
    if world.is_alone:
        return forward
    share_batch_norm(forward.student, world)
    for term in forward.objective.separable_terms():
        share_batch_norm(term, world)
    return DistributedDataParallel(
        forward,
        # All processes compute the same buffers.
        forward_sync_buffers=False,
        # Looking for them costs time, so only where a step may leave parameters out: those beyond
        # the last layer that is read, or (reviewkd) those that a single image has no use for.
        find_unused_parameters=not forward.student.to_end or forward.objective.relates_images,
    )


def backward(losses: LossTerms, world: World) -> None:
    """Compute the gradients of the whole batch's loss."""
    total: torch.Tensor = losses.total if world.is_alone else losses.total * world.size
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
