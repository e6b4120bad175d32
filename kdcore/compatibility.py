"""Whether spec, dataset and teachers fit one another: facts only, so api and library ask alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdcore.calibration_fit import check_calibration_fits
from kdcore.errors import IncompatibleInputs
from kdcore.spec import DistillJob, NetworkDescription, TrainJob

_SHOWN_NAMES = 20


@dataclass(frozen=True)
class DatasetFacts:
    """What of a dataset decides whether a job fits it."""

    shape_CHW: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    """Examples of each class in the train split, by label."""
    splits: tuple[str, ...]


def check_job_fits(
    job: TrainJob | DistillJob,
    dataset: DatasetFacts,
    teachers: Sequence[NetworkDescription],
) -> None:
    """Check everything about a job that needs no tensor.

    Raises:
        IncompatibleInputs: naming the field to change and both sides of the disagreement.
    """
    _check_transfer(job, dataset)
    _check_splits(job, dataset)
    if isinstance(job, DistillJob):
        check_calibration_fits(job, dataset.train_counts)
    for index, teacher in enumerate(teachers):
        pointer = f"/teachers/{index}/model"
        _check_channels(teacher, dataset, pointer=pointer)
        # Layers can be learned from a network of any task.
        if not isinstance(job, DistillJob) or job.method.reads_teacher_logits:
            _check_classes(teacher, dataset, pointer=pointer)


def has_classes(teacher: NetworkDescription, class_names: Sequence[str]) -> bool:
    """Whether a teacher answers in these classes, as far as names tell."""
    both_named = _are_names(teacher.class_names) and _are_names(class_names)
    return teacher.num_classes == len(class_names) and not (
        both_named and tuple(teacher.class_names) != tuple(class_names)
    )


def list_classes(names: Sequence[str]) -> str:
    """Write class names for a message, the first twenty of many."""
    shown = ", ".join(names[:_SHOWN_NAMES])
    return shown if len(names) <= _SHOWN_NAMES else f"{shown}, … {len(names)} in all"


def _check_channels(teacher: NetworkDescription, dataset: DatasetFacts, *, pointer: str) -> None:
    """Check that images can be brought to what the teacher takes: sizes can, colours cannot."""
    channels, wanted = dataset.shape_CHW[0], teacher.input.channels
    if channels == wanted or (channels, wanted) == (1, 3):
        return
    raise IncompatibleInputs(
        "teacher_input_mismatch",
        f"The teacher takes images of {shape_text(teacher.input.shape_CHW)} and the dataset has "
        f"{shape_text(dataset.shape_CHW)} (channels x height x width). Height and width are "
        "brought to the teacher's, and grey images to three channels, but no other channels. "
        "Upload a dataset with the teacher's channels, or a teacher for the dataset's.",
        pointer=pointer,
    )


def _check_classes(teacher: NetworkDescription, dataset: DatasetFacts, *, pointer: str) -> None:
    num_classes = len(dataset.class_names)
    if teacher.num_classes != num_classes:
        raise IncompatibleInputs(
            "teacher_classes_mismatch",
            f"The teacher has {teacher.num_classes} outputs and the dataset has {num_classes} "
            f"classes (labels 0 to {num_classes - 1}). They must be the same classes, in the "
            "same order.",
            pointer=pointer,
        )
    if not has_classes(teacher, dataset.class_names):
        raise IncompatibleInputs(
            "teacher_class_names_mismatch",
            f"The teacher's classes are [{list_classes(teacher.class_names)}] and the dataset's "
            f"are [{list_classes(dataset.class_names)}]; label i must mean the same in both.",
            pointer=pointer,
        )


def _check_transfer(job: TrainJob | DistillJob, dataset: DatasetFacts) -> None:
    num_classes = len(dataset.class_names)
    excluded = set(job.transfer.exclude_classes)
    unknown = sorted(label for label in excluded if not 0 <= label < num_classes)
    if unknown:
        raise IncompatibleInputs(
            "unknown_class",
            f"Label {unknown[0]} is not in the dataset; its labels are 0 to {num_classes - 1}.",
            pointer="/transfer/exclude_classes",
        )
    if num_classes - len(excluded) < 1:
        raise IncompatibleInputs(
            "nothing_to_train_on",
            "Every class is excluded; leave at least one.",
            pointer="/transfer/exclude_classes",
        )


def _check_splits(job: TrainJob | DistillJob, dataset: DatasetFacts) -> None:
    for split in job.evaluation.splits:
        if split not in dataset.splits:
            raise IncompatibleInputs(
                "unknown_split",
                f"The dataset has no split {split!r}; it has {', '.join(dataset.splits)}.",
                pointer="/evaluation/splits",
            )


def _are_names(names: Sequence[str]) -> bool:
    """Whether these are names; formats without any are given the numbers of their labels."""
    return bool(names) and tuple(names) != tuple(map(str, range(len(names))))


def shape_text(shape_CHW: tuple[int, int, int]) -> str:
    """Write a shape for a message: 3x32x32."""
    return "x".join(map(str, shape_CHW))
