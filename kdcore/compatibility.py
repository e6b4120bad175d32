"""Whether spec, dataset and teachers fit one another: facts only, so api and library ask alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from kdcore.calibration_fit import check_calibration_fits
from kdcore.errors import IncompatibleInputs
from kdcore.spec import (
    AnyJob,
    DatasetDescription,
    DistillJob,
    EvaluateJob,
    NetworkDescription,
    TrainJob,
)

_SHOWN_NAMES = 20


@dataclass(frozen=True)
class DatasetFacts:
    """What of a dataset decides whether a job fits it."""

    shape_CHW: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    """Examples of each class in the train split, by label."""
    splits: tuple[str, ...]
    images_sha256: Mapping[str, str] = field(default_factory=dict)
    """Digest of each split's pixels, by the split's name."""

    @classmethod
    def of(cls, description: DatasetDescription) -> Self:
        """Pick the facts out of a dataset's description."""
        splits = description.splits
        return cls(
            shape_CHW=description.image_input.shape_CHW,
            class_names=description.class_names,
            train_counts=splits["train"].class_counts,
            splits=tuple(splits),
            images_sha256={name: split.images_sha256 for name, split in splits.items()},
        )


@dataclass(frozen=True)
class _Place:
    """What a network is to its job, and the pointer to where the job names it."""

    noun: str
    pointer: str


def check_job_fits(
    job: AnyJob,
    dataset: DatasetFacts,
    networks: Sequence[NetworkDescription],
    *,
    transfer_dataset: DatasetFacts | None = None,
) -> None:
    """Check everything about a job that needs no tensor.

    Args:
        job: The job.
        dataset: Of `job.dataset`.
        networks: One for each of its teachers, or of the models that it evaluates.
        transfer_dataset: Of `job.transfer.dataset`, if the job names one.

    Raises:
        IncompatibleInputs: naming the field to change and both sides of the disagreement.
    """
    _check_splits(job, dataset)
    if isinstance(job, EvaluateJob):
        for index, network in enumerate(networks):
            place = _Place("model", f"/models/{index}/model")
            _check_channels(network, dataset, place)
            _check_classes(network, dataset, place)
        return
    if transfer_dataset is not None:
        _check_transfer_dataset(job, dataset, transfer_dataset)
    _check_classes_left(job, transfer_dataset or dataset)
    if isinstance(job, DistillJob):
        check_calibration_fits(job, dataset.train_counts)
    for index, network in enumerate(networks):
        place = _Place("teacher", f"/teachers/{index}/model")
        _check_channels(network, dataset, place)
        # Layers can be learned from a network of any task.
        if not isinstance(job, DistillJob) or job.method.reads_teacher_logits:
            _check_classes(network, dataset, place)


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


def _check_channels(network: NetworkDescription, dataset: DatasetFacts, place: _Place) -> None:
    """Check that images can be brought to what the network takes: sizes can, colours cannot."""
    channels, wanted = dataset.shape_CHW[0], network.input.channels
    if channels == wanted or (channels, wanted) == (1, 3):
        return
    raise IncompatibleInputs(
        f"{place.noun}_input_mismatch",
        f"The {place.noun} takes images of {shape_text(network.input.shape_CHW)} and the dataset "
        f"has {shape_text(dataset.shape_CHW)} (channels x height x width). Height and width are "
        f"brought to the {place.noun}'s, and grey images to three channels, but no other channels. "
        f"Upload a dataset with the {place.noun}'s channels, or a {place.noun} for the dataset's.",
        pointer=place.pointer,
    )


def _check_classes(network: NetworkDescription, dataset: DatasetFacts, place: _Place) -> None:
    num_classes = len(dataset.class_names)
    if network.num_classes != num_classes:
        raise IncompatibleInputs(
            f"{place.noun}_classes_mismatch",
            f"The {place.noun} has {network.num_classes} outputs and the dataset has {num_classes} "
            f"classes (labels 0 to {num_classes - 1}). They must be the same classes, in the "
            "same order.",
            pointer=place.pointer,
        )
    if not has_classes(network, dataset.class_names):
        raise IncompatibleInputs(
            f"{place.noun}_class_names_mismatch",
            f"The {place.noun}'s classes are [{list_classes(network.class_names)}] and the "
            f"dataset's are [{list_classes(dataset.class_names)}]; label i must mean the same in "
            "both.",
            pointer=place.pointer,
        )


def _check_transfer_dataset(
    job: TrainJob | DistillJob, dataset: DatasetFacts, transfer: DatasetFacts
) -> None:
    pointer = "/transfer/dataset"
    if transfer.shape_CHW != dataset.shape_CHW:
        raise IncompatibleInputs(
            "transfer_shape_mismatch",
            f"The transfer set's images are {shape_text(transfer.shape_CHW)} and the dataset's "
            f"are {shape_text(dataset.shape_CHW)} (channels x height x width). One network takes "
            "both, so upload one of them again in the other's size.",
            pointer=pointer,
        )
    if not job.transfer.unlabeled:
        _check_same_classes(dataset, transfer, pointer=pointer)
    _check_other_pixels(job, dataset, transfer, pointer=pointer)


def _check_other_pixels(
    job: TrainJob | DistillJob, dataset: DatasetFacts, transfer: DatasetFacts, *, pointer: str
) -> None:
    """See that nothing is learned from that the job evaluates or chooses by."""
    pixels = transfer.images_sha256.get("train", "")
    if pixels and pixels == dataset.images_sha256.get("test"):
        raise IncompatibleInputs(
            "transfer_set_is_test_split",
            "The transfer set's images are those of the dataset's test split, so the evaluation "
            "would measure nothing. Choose another transfer set.",
            pointer=pointer,
        )
    holds_out = job.transfer.validation_fraction > 0
    if pixels and holds_out and pixels == dataset.images_sha256.get("train"):
        raise IncompatibleInputs(
            "transfer_set_holds_hold_out",
            "The transfer set's images are those of the dataset's train split, so what "
            "validation_fraction holds out would be trained on. Leave transfer.dataset out.",
            pointer=pointer,
        )


def _check_same_classes(dataset: DatasetFacts, transfer: DatasetFacts, *, pointer: str) -> None:
    ours, theirs = dataset.class_names, transfer.class_names
    both_named = _are_names(ours) and _are_names(theirs)
    if len(ours) != len(theirs) or (both_named and ours != theirs):
        raise IncompatibleInputs(
            "transfer_classes_mismatch",
            f"The transfer set's {len(theirs)} classes are [{list_classes(theirs)}] and the "
            f"dataset's {len(ours)} are [{list_classes(ours)}]; label i must mean the same in "
            "both. To use the transfer set's images alone, set transfer.unlabeled to true.",
            pointer=pointer,
        )


def _check_classes_left(job: TrainJob | DistillJob, dataset: DatasetFacts) -> None:
    num_classes = len(dataset.class_names)
    excluded = set(job.transfer.exclude_classes)
    unknown = sorted(label for label in excluded if not 0 <= label < num_classes)
    if unknown:
        raise IncompatibleInputs(
            "unknown_class",
            f"Label {unknown[0]} is not in the dataset that is learned from; its labels are 0 to "
            f"{num_classes - 1}.",
            pointer="/transfer/exclude_classes",
        )
    if num_classes - len(excluded) < 1:
        raise IncompatibleInputs(
            "nothing_to_train_on",
            "Every class is excluded; leave at least one.",
            pointer="/transfer/exclude_classes",
        )


def _check_splits(job: AnyJob, dataset: DatasetFacts) -> None:
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
