"""Selects the train examples that a student gets to see.

N examples of the split, M selected ones.
"""

import numpy as np
import numpy.typing as npt

from kdcore.data.stratified import choose_per_class
from kdcore.errors import IncompatibleInputs
from kdcore.seeds import derive_seed
from kdcore.spec.transfer import TransferSpec


def select_examples(
    labels_N: npt.NDArray[np.int64], transfer: TransferSpec, *, seed: int
) -> npt.NDArray[np.int64]:
    """Select by class and by fraction of each class.

    Deterministic in labels, spec and seed. At one seed a smaller fraction selects a subset of a
    larger one's examples, and leaving out a class leaves the others' examples as they were.

    Args:
        labels_N: Of the train split; every class has at least one example.
        transfer: Its `exclude_classes` and `fraction` are used.
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
    kept_N = choose_per_class(
        labels_N, fraction=transfer.fraction, seed=derive_seed(seed, "transfer")
    )
    kept_N &= ~np.isin(labels_N, transfer.exclude_classes)
    selected_M = np.flatnonzero(kept_N)
    if len(selected_M) == 0:
        raise IncompatibleInputs(
            "transfer_set_empty",
            "exclude_classes leaves no class to train on. Leave at least one in.",
            pointer="/transfer/exclude_classes",
        )
    return selected_M.astype(np.int64)
