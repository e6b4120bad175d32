"""The work of a job, counted as the trainer will do it: images, and steps of all its runs."""

from collections.abc import Sequence

from kdcore.spec import DistillJob, TrainJob, TransferSpec
from kdcore.spec.runs import plan_runs
from kdcore.spec.stages import SINGLE_STAGE, plan_stages, steps_per_epoch


def training_steps(job: TrainJob | DistillJob, class_counts: Sequence[int]) -> int:
    """Count the optimizer steps of every run of a job, through all its stages.

    Assistants, generations and the control are runs of their own; peers learn in the student's.

    Args:
        job: With its stages filled in or not.
        class_counts: Of the train split that is learned from.
    """
    training = job.training
    stages = (
        plan_stages(job.method.STAGES, training, optimizers=job.method.STAGE_OPTIMIZERS)
        if isinstance(job, DistillJob)
        else plan_stages(SINGLE_STAGE, training)
    )
    per_epoch = steps_per_epoch(count_images(job.transfer, class_counts), training.batch_size)
    # The control has the steps of all stages together.
    return len(plan_runs(job)) * sum(stage.steps(per_epoch) for stage in stages)


def count_images(transfer: TransferSpec, class_counts: Sequence[int]) -> int:
    """Count the images of a transfer set by the sizes of its classes alone.

    Without labels fractions are of the whole split, and what of it is in a class that is left
    out is then known only in the mean.
    """
    if transfer.unlabeled:
        left_out = sum(class_counts[label] for label in set(transfer.exclude_classes))
        num_images = sum(class_counts)
        return max(1, round(_part(num_images, transfer) * (1 - left_out / num_images)))
    return sum(
        _part(count, transfer)
        for label, count in enumerate(class_counts)
        if count and label not in transfer.exclude_classes
    )


def _part(count: int, transfer: TransferSpec) -> int:
    """Give what of `count` images is neither held out nor left out by a fraction."""
    if transfer.dataset is None and transfer.validation_fraction and count > 1:
        count -= _share(count, transfer.validation_fraction)
    return _share(count, transfer.fraction)


def _share(count: int, fraction: float) -> int:
    return max(1, int(fraction * count + 0.5))
