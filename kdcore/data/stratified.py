"""Deterministic choices of examples, class by class.

N examples.
"""

import numpy as np
import numpy.typing as npt

from kdcore.data.rejection import shown
from kdcore.errors import DatasetRejected
from kdcore.seeds import derive_seed

TEST_FRACTION = 0.2


def choose_per_class(
    labels_N: npt.NDArray[np.int64], *, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose `fraction` of the examples of each class, rounded to nearest but at least one.

    With one seed a smaller fraction chooses a subset of what a larger one chooses. The choice
    depends on the labels' order and the seed alone; the bit generator's stream is one that numpy
    promises never to change.

    Returns:
        True for the examples that are chosen, shape N.
    """
    keys_N = np.random.PCG64(seed).random_raw(len(labels_N))
    order_N = np.lexsort((keys_N, labels_N))
    counts = np.bincount(labels_N)
    chosen_N = np.zeros(len(labels_N), dtype=np.bool_)
    start = 0
    for count in counts.tolist():
        if count:
            size = max(1, int(fraction * count + 0.5))
            chosen_N[order_N[start : start + size]] = True
        start += count
    return chosen_N


def choose_test_examples(
    labels_N: npt.NDArray[np.int64], class_names: tuple[str, ...]
) -> npt.NDArray[np.bool_]:
    """Choose a fifth of each class as the test split of a dataset that has none.

    Returns:
        True for test examples, shape N; the same for the same labels on every machine.

    Raises:
        DatasetRejected: `too_few_examples` if a class has a single example.
    """
    counts = np.bincount(labels_N, minlength=len(class_names))
    alone = [shown(class_names[label]) for label in np.flatnonzero(counts == 1)]
    if alone:
        raise DatasetRejected(
            "too_few_examples",
            f"{len(alone)} classes have a single example, the first is {alone[0]}; to set a fifth "
            "aside for testing takes two. Add examples, or upload separate train and test splits.",
            entries=alone,
        )
    return choose_per_class(labels_N, fraction=TEST_FRACTION, seed=derive_seed(0, "test split"))
