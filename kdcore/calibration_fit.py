"""Whether a calibration fits student and dataset: facts only, free of torch."""

from collections.abc import Collection, Sequence

from kdcore.catalog.class_biases import has_class_biases
from kdcore.errors import IncompatibleInputs
from kdcore.spec import (
    BestOnValidation,
    DistillJob,
    FixedOffsets,
    MatchPrior,
    NoCalibration,
    SimKd,
)


def check_calibration_fits(job: DistillJob, train_counts: Sequence[int]) -> None:
    """Check that there are biases to shift, the labels named, and a prior for each that moves.

    Raises:
        IncompatibleInputs: naming the field to change.
    """
    rule, num_classes = job.calibration, len(train_counts)
    if not isinstance(rule, NoCalibration) and not _all_have_biases(job):
        raise IncompatibleInputs(
            "no_class_biases",
            f"{job.student.architecture} has no bias for each class that a calibration could "
            "shift. Choose another student, or the rule none.",
            pointer="/calibration/rule",
        )
    match rule:
        case FixedOffsets():
            labels = [one.label for one in rule.offsets]
            _check_labels(labels, num_classes, pointer="/calibration/offsets")
        case BestOnValidation():
            _check_labels(rule.classes, num_classes, pointer="/calibration/classes")
        case MatchPrior():
            _check_labels(rule.classes, num_classes, pointer="/calibration/classes")
            _check_prior(rule, train_counts)
        case NoCalibration():
            pass


def _all_have_biases(job: DistillJob) -> bool:
    """Whether what is calibrated has class biases: under simkd the student has new ones."""
    is_plain = job.control or not isinstance(job.method, SimKd)
    return not is_plain or has_class_biases(job.student)


def _check_labels(labels: Collection[int], num_classes: int, *, pointer: str) -> None:
    unknown = sorted(label for label in labels if not 0 <= label < num_classes)
    if unknown:
        raise IncompatibleInputs(
            "unknown_class",
            f"Label {unknown[0]} is not in the dataset; its labels are 0 to {num_classes - 1}.",
            pointer=pointer,
        )


def _check_prior(rule: MatchPrior, train_counts: Sequence[int]) -> None:
    num_classes = len(train_counts)
    prior = rule.shares(train_counts)
    if len(prior) != num_classes:
        raise IncompatibleInputs(
            "prior_length",
            f"prior has {len(prior)} shares and the dataset {num_classes} classes; give one for "
            "each.",
            pointer="/calibration/prior",
        )
    absent = [label for label in range(num_classes) if not prior[label]]
    moved = rule.moved(num_classes)
    if not absent:
        return
    # Either such a class moves, or it stays and takes a share that the moving ones already have.
    if set(absent) & set(moved) or len(moved) == num_classes - len(absent):
        raise IncompatibleInputs(
            "class_without_prior",
            f"Class {absent[0]} has no image in the train split, so its share there is 0 and no "
            "offset gives it that. Give prior as a list, or leave some class of the others out of "
            "classes.",
            pointer="/calibration/prior",
        )
