"""Batches of a split on the device: shuffled and varied for training, in order for evaluation.

B batch, H height, W width, C channels, M examples of the transfer set, N of the split.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch

from kdcore.data.augmentation import build_augmentation
from kdcore.data.dataset import ArraySplit
from kdcore.data.device_images import Selection, place_images
from kdcore.data.image_rows import ImageRows
from kdcore.data.mix import MixDraws, draw_mix, mix_images
from kdcore.data.transfer import select_examples
from kdcore.seeds import derive_seed
from kdcore.spec.stages import steps_per_epoch
from kdcore.spec.transfer import NoMix, TransferSpec

# No loss takes it for a class: whatever reads the label of an unlabelled image fails.
_NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step works on; all tensors on one device.

    Attributes:
        images_BCHW: float32 in [0, 1], channels_last memory format.
        labels_B: int64; -1 throughout where the transfer set is unlabelled.
        indices_B: int64, positions in the split.
        view_B: int64, which view of the image this is; with `indices_B` it determines the pixels
            before any mixing.
        member_B: int64, positions in the transfer set, which leaves out what is not learned from.
        other_B: int64, labels of what was mixed in; None where nothing is mixed.
        share_B: float32, the share of the image and label that are the example's own.
    """

    images_BCHW: torch.Tensor
    labels_B: torch.Tensor
    indices_B: torch.Tensor
    view_B: torch.Tensor
    member_B: torch.Tensor
    other_B: torch.Tensor | None = None
    share_B: torch.Tensor | None = None

    def part(self, rows: slice) -> "Batch":
        """Give some of its examples."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {name: each[rows] for name, each in tensors.items() if each is not None}
        return replace(self, **chosen)


def _to_float(images_BHWC: torch.Tensor) -> torch.Tensor:
    """Turn bytes into values in [0, 1]; BHWC in memory is BCHW in channels_last."""
    # CUDA turns division by a plain number into a product, which rounds unlike the CPU.
    largest = torch.full((), 255.0, device=images_BHWC.device)
    return images_BHWC.permute(0, 3, 1, 2).to(torch.float32).div_(largest)


def _mixed(batch: Batch, draws: MixDraws) -> Batch:
    """Mix each image of a batch with the one before it, and keep both labels."""
    images_BHWC = mix_images(batch.images_BCHW.permute(0, 2, 3, 1), draws)
    return replace(
        batch,
        images_BCHW=images_BHWC.permute(0, 3, 1, 2),
        other_B=batch.labels_B.roll(1, 0),
        share_B=draws.share_B,
    )


@dataclass(frozen=True, eq=False)
class _EpochPlan:
    drawn_M: npt.NDArray[np.int64]
    """The order in the memory of the host."""
    order_M: torch.Tensor
    view_M: torch.Tensor
    mix: MixDraws | None


class TrainView:
    """The transfer set of a train split, on the device as one uint8 array if it fits there.

    If it does not, batches are read ahead from where the images lie, with the very same bits.
    Each batch depends on spec, seed, epoch and step alone, so training can begin anywhere. The
    draws are made on the CPU, hence the same on every device, once for a whole epoch.

    Attributes:
        num_examples: Size of the transfer set, M.
        steps_per_epoch: The last batch of an epoch may be short; it is kept. One of a single image
            goes with the batch before it, which is then larger by one: BatchNorm has nothing to
            average over in one image's map of 1x1, and there are no relations to learn.
        smallest_batch: Images of the smallest batch; 1 only where no batch can be larger.
        num_views: How many views of each image can occur; None where images are mixed, for then
            hardly one occurs twice.
        whereabouts: Where the images are, for the log.
    """

    def __init__(
        self,
        split: ArraySplit,
        *,
        transfer: TransferSpec,
        batch_size: int,
        seed: int,
        device: torch.device,
        num_processes: int = 1,
    ) -> None:
        """Select the transfer set and copy it to the device, or leave it where it lies.

        `num_processes` is how many processes of this job share a machine's memory.

        Raises:
            IncompatibleInputs: `label_out_of_range`, `transfer_set_empty`, `shift_too_large`.
        """
        height, width = split.images_NHWC.shape[1:3]
        self._size_HW = (height, width)
        self._augmentation = build_augmentation(transfer.augmentation, height=height, width=width)
        selected_M = select_examples(split.labels_N, transfer, seed=seed)
        self._images = place_images(
            split.images_NHWC, selected_M, device=device, num_processes=num_processes
        )
        self.whereabouts = self._images.whereabouts
        labels_M = split.labels_N[selected_M]
        if transfer.unlabeled:
            labels_M = np.full_like(labels_M, _NO_LABEL)
        self._labels_M = torch.from_numpy(labels_M).to(device)
        self._indices_M = torch.from_numpy(selected_M).to(device)
        self._mix = transfer.mix
        self._batch_size = batch_size
        self._seed = seed
        self._device = device
        self._plans: dict[int, _EpochPlan] = {}
        self.num_examples = len(selected_M)
        self.steps_per_epoch = steps_per_epoch(self.num_examples, batch_size)
        first_and_last = (self._ends_of(step) for step in (0, self.steps_per_epoch - 1))
        self.smallest_batch = min(end - start for start, end in first_and_last)
        is_mixed = not isinstance(transfer.mix, NoMix)
        self.num_views = None if is_mixed else self._augmentation.num_views

    def num_images(self, step_in_epoch: int) -> int:
        """Count the images of one step's batch.

        Raises:
            IndexError: If the epoch has no such step.
        """
        if not 0 <= step_in_epoch < self.steps_per_epoch:
            raise IndexError(f"step {step_in_epoch} of {self.steps_per_epoch} in an epoch")
        start, end = self._ends_of(step_in_epoch)
        return end - start

    def batch(self, epoch: int, step_in_epoch: int, *, rows: slice | None = None) -> Batch:
        """Make the batch of one step, or only some rows of it; both arguments count from 0.

        Raises:
            IndexError: If the epoch has no such step.
        """
        if rows is not None and not isinstance(self._mix, NoMix):
            # An image is mixed with the one before it in the whole batch.
            return self.batch(epoch, step_in_epoch).part(rows)
        if not 0 <= step_in_epoch < self.steps_per_epoch:
            raise IndexError(f"step {step_in_epoch} of {self.steps_per_epoch} in an epoch")
        plan = self._plan_of(epoch)
        start, end = self._ends_of(step_in_epoch)
        selection = self._selection(epoch, step_in_epoch, rows)
        order_B, view_B = selection.rows_on_device_B, plan.view_M[start:end]
        if rows is not None:
            view_B = view_B[rows]
        pixels_BHWC = self._images.batch(selection, self._following(epoch, step_in_epoch, rows))
        batch = Batch(
            images_BCHW=_to_float(self._augmentation.apply(pixels_BHWC, view_B)),
            labels_B=self._labels_M.index_select(0, order_B),
            indices_B=self._indices_M.index_select(0, order_B),
            view_B=view_B,
            member_B=order_B,
        )
        if plan.mix is None:
            return batch
        return _mixed(batch, plan.mix.part(start, len(order_B)))

    def _selection(self, epoch: int, step_in_epoch: int, rows: slice | None) -> Selection:
        plan = self._plan_of(epoch)
        part = slice(*self._ends_of(step_in_epoch))
        drawn_B, order_B = plan.drawn_M[part], plan.order_M[part]
        if rows is None:
            return Selection((epoch, step_in_epoch, None), drawn_B, order_B)
        key = (epoch, step_in_epoch, (rows.start, rows.stop))
        return Selection(key, drawn_B[rows], order_B[rows])

    def _following(self, epoch: int, step_in_epoch: int, rows: slice | None) -> list[Selection]:
        step = epoch * self.steps_per_epoch + step_in_epoch
        return [
            self._selection(*divmod(step + ahead, self.steps_per_epoch), rows)
            for ahead in range(1, 1 + self._images.num_ahead)
        ]

    def _ends_of(self, step_in_epoch: int) -> tuple[int, int]:
        """Give where a batch begins and ends in the order of its epoch."""
        start = step_in_epoch * self._batch_size
        is_last = step_in_epoch + 1 == self.steps_per_epoch
        return start, self.num_examples if is_last else start + self._batch_size

    def _plan_of(self, epoch: int) -> _EpochPlan:
        plan = self._plans.get(epoch)
        if plan is None:
            # Batches of an epoch are still asked for while those of the next are read ahead.
            before = {each: self._plans[each] for each in self._plans if each == epoch - 1}
            plan = self._draw_plan(epoch)
            self._plans = {**before, epoch: plan}
        return plan

    def _draw_plan(self, epoch: int) -> _EpochPlan:
        order = torch.Generator().manual_seed(derive_seed(self._seed, "order", epoch))
        views = torch.Generator().manual_seed(derive_seed(self._seed, "augmentation", epoch))
        drawn_M = torch.randperm(self.num_examples, generator=order)
        return _EpochPlan(
            drawn_M.numpy(),
            self._moved(drawn_M),
            self._moved(self._augmentation.draw_views(self.num_examples, views)),
            self._draw_mix(epoch),
        )

    def _draw_mix(self, epoch: int) -> MixDraws | None:
        height, width = self._size_HW
        seed = derive_seed(self._seed, "mix", epoch)
        draws = draw_mix(self._mix, size=self.num_examples, height=height, width=width, seed=seed)
        if draws is None:
            return None
        box_M4 = None if draws.box_B4 is None else self._moved(draws.box_B4)
        return MixDraws(self._moved(draws.share_B), box_M4)

    def _moved(self, drawn_M: torch.Tensor) -> torch.Tensor:
        # From pinned memory the copy joins the device's queue without waiting for it.
        if self._device.type == "cuda":
            drawn_M = drawn_M.pin_memory()
        return drawn_M.to(self._device, non_blocking=True)


class EvalView:
    """A split in its own order, without augmentation.

    On a CPU batches are cut from the memory map; other devices keep the split as one uint8 array
    if it fits there, and else have batches read ahead.
    """

    def __init__(self, split: ArraySplit, *, device: torch.device) -> None:
        self._split = split
        self._device = device
        self._labels_N = torch.from_numpy(np.array(split.labels_N)).to(device)
        self.num_examples = len(split)
        self._rows_N = np.arange(len(split))
        self._images = (
            None
            if device.type == "cpu"
            else place_images(split.images_NHWC, self._rows_N, device=device)
        )

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Go through the split once; the last batch may be short."""
        starts = range(0, self.num_examples, batch_size)
        for start, images_BHWC in zip(starts, self._pixels(batch_size), strict=True):
            part = slice(start, start + len(images_BHWC))
            indices_B = torch.arange(part.start, part.stop, device=self._device)
            yield Batch(
                images_BCHW=_to_float(images_BHWC),
                labels_B=self._labels_N[part],
                indices_B=indices_B,
                view_B=torch.zeros_like(indices_B),
                member_B=indices_B,
            )

    def _pixels(self, batch_size: int) -> Iterator[torch.Tensor]:
        parts = [
            slice(start, start + batch_size) for start in range(0, self.num_examples, batch_size)
        ]
        if self._images is None:
            yield from (self._from_map(part) for part in parts)
            return
        rows_on_device_N = torch.arange(self.num_examples, device=self._device)
        selections = [
            Selection(part.start, self._rows_N[part], rows_on_device_N[part]) for part in parts
        ]
        for number, selection in enumerate(selections, start=1):
            yield self._images.batch(
                selection, selections[number : number + self._images.num_ahead]
            )

    def _from_map(self, part: slice) -> torch.Tensor:
        images = self._split.images_NHWC
        if isinstance(images, ImageRows):
            return torch.from_numpy(images[part])
        # A copy: torch must not see the map's read-only memory.
        return torch.from_numpy(np.array(images[part]))
