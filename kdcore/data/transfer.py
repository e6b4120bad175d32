"""Selects the train examples that a student gets to see, and those that it never does.

N examples of the split, M selected ones.
"""

import numpy as np
import numpy.typing as npt

from kdcore.data.stratified import choose_per_class
from kdcore.errors import IncompatibleInputs
from kdcore.seeds import derive_seed
from kdcore.spec.transfer import TransferSpec


def split_validation(
    labels_N: npt.NDArray[np.int64], *, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Hold out `fraction` of each class of a train split, left-out classes included.

    At least one example of each class is held out, and at least one is left: a class of a single
    example keeps it for training. Deterministic in labels and seed; a smaller fraction holds out
    a subset of a larger one's examples.

    Args:
        labels_N: Of the train split.
        fraction: From 0, which holds nothing out, to 1/2.
        seed: The run's seed.

    Returns:
        True for the examples that are held out, shape N.
    """
    if fraction == 0:
        return np.zeros(len(labels_N), dtype=np.bool_)
    held_out_N = choose_per_class(labels_N, fraction=fraction, seed=derive_seed(seed, "validation"))
    return held_out_N & (np.bincount(labels_N)[labels_N] > 1)


def select_examples(
    labels_N: npt.NDArray[np.int64], transfer: TransferSpec, *, seed: int
) -> npt.NDArray[np.int64]:
    """Select what is not held out, by class and by fraction of each class.

    Of a transfer set that is a dataset of its own nothing is held out.

    Deterministic in labels, spec and seed. At one seed a smaller fraction selects a subset of a
    larger one's examples, and leaving out a class leaves the others' examples as they were.
    Where the set is unlabelled, labels decide nothing but which classes are left out: fractions
    are then of the whole split.

    Args:
        labels_N: Of the train split that is learned from.
        transfer: Its `exclude_classes`, `fraction` and `validation_fraction` are used.
        seed: The run's seed.

    Returns:
        Positions in the split, rising, shape M.

    Raises:
        IncompatibleInputs: `label_out_of_range`, `transfer_set_empty`.
    """
    num_classes = int(labels_N.max()) + 1
    unknown = [label for label in transfer.exclude_classes if not 0 <= label < num_classes]
    if unknown:
        raise IncompatibleInputs(
            "label_out_of_range",
            f"exclude_classes names {unknown[0]}, but the dataset's labels go from 0 to "
            f"{num_classes - 1}.",
            pointer="/transfer/exclude_classes",
        )
    offered_N = np.ones(len(labels_N), dtype=np.bool_)
    if transfer.dataset is None:
        offered_N = ~held_out_examples(labels_N, transfer, seed=seed)
    kept_N = np.zeros(len(labels_N), dtype=np.bool_)
    kept_N[offered_N] = choose_per_class(
        _strata(labels_N, transfer)[offered_N],
        fraction=transfer.fraction,
        seed=derive_seed(seed, "transfer"),
    )
    kept_N &= ~np.isin(labels_N, transfer.exclude_classes)
    selected_M = np.flatnonzero(kept_N)
    if len(selected_M) == 0:
        raise IncompatibleInputs(
            "transfer_set_empty",
            "exclude_classes and fraction leave no image to train on. Leave at least one class in.",
            pointer="/transfer/exclude_classes",
        )
    return selected_M.astype(np.int64)


def held_out_examples(
    labels_N: npt.NDArray[np.int64], transfer: TransferSpec, *, seed: int
) -> npt.NDArray[np.bool_]:
    """Tell which examples of the job's own dataset are held out, shape N.

    Drawn class by class, but without reading a label where the very same split is learned from
    unlabelled.
    """
    strata_N = _strata(labels_N, transfer) if transfer.dataset is None else labels_N
    return split_validation(strata_N, fraction=transfer.validation_fraction, seed=seed)


def _strata(labels_N: npt.NDArray[np.int64], transfer: TransferSpec) -> npt.NDArray[np.int64]:
    """Give the groups that fractions are taken of: classes, or all as one without labels."""
    return np.zeros_like(labels_N) if transfer.unlabeled else labels_N
