"""What labels and class names must satisfy, whatever format they came in.

N examples.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kdcore.data.limits import MIN_TRAIN_EXAMPLES
from kdcore.data.rejection import shown
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import SplitName
from kdcore.spec.networks import MAX_CLASSES

_MAX_NAME_LENGTH = 200


def check_class_names(class_names: Sequence[str]) -> None:
    """Check names that were given or found, apart from how many there must be.

    Raises:
        DatasetRejected: `one_class`, `too_many_classes`, `class_names_invalid`.
    """
    check_num_classes(len(class_names))
    bad = [name for name in class_names if not 0 < len(name) <= _MAX_NAME_LENGTH]
    if bad or len(set(class_names)) < len(class_names):
        twice = [name for name, count in Counter(class_names).items() if count > 1]
        raise DatasetRejected(
            "class_names_invalid",
            f"Class names must differ and have 1 to {_MAX_NAME_LENGTH} characters. "
            "Rename those that do not.",
            entries=[shown(name) for name in (*bad, *twice)],
        )


def check_num_classes(num_classes: int) -> None:
    """Check how many classes there are.

    Raises:
        DatasetRejected: `one_class`, `too_many_classes`.
    """
    if num_classes < 2:
        raise DatasetRejected(
            "one_class",
            f"The dataset has {num_classes} class; a classifier needs at least two. "
            "Add examples of another class.",
        )
    if num_classes > MAX_CLASSES:
        raise DatasetRejected(
            "too_many_classes",
            f"The dataset has {num_classes} classes; at most {MAX_CLASSES} are supported.",
        )


def check_label_values(labels_N: npt.NDArray[np.integer], *, source: str, first: int) -> None:
    """Check that labels count from 0 and stay below the largest number of classes.

    Args:
        labels_N: Integers of any type.
        source: What the message calls the place they came from.
        first: Position of the first of them there.

    Raises:
        DatasetRejected: `label_out_of_range`, naming the first such labels.
    """
    bad = np.flatnonzero((labels_N < 0) | (labels_N >= MAX_CLASSES))[:20]
    if len(bad):
        raise DatasetRejected(
            "label_out_of_range",
            f"Labels count from 0 to the number of classes less one, below {MAX_CLASSES}; "
            f"{shown(source)} holds {labels_N[bad[0]]} at position {first + bad[0]}. "
            "Renumber the classes.",
            entries=[f"{shown(source)}[{first + at}] = {labels_N[at]}" for at in bad],
        )


def check_class_counts(
    class_counts: Mapping[SplitName, Sequence[int]], class_names: Sequence[str]
) -> None:
    """Check that there is enough to train on and to test with.

    Args:
        class_counts: Per split, examples of each class in label order; short lists mean zeros.
        class_names: One for each class.

    Raises:
        DatasetRejected: `split_empty`, `class_without_train_examples`, `too_few_examples`, or
            those of `check_class_names`.
    """
    check_class_names(class_names)
    for split, counts in class_counts.items():
        if sum(counts) == 0:
            raise DatasetRejected(
                "split_empty", f"The {split} split has no example. Add some for each class."
            )
    train = class_counts["train"]
    absent = [
        f"{label}: {shown(name)}"
        for label, name in enumerate(class_names)
        if label >= len(train) or train[label] == 0
    ]
    if absent:
        raise DatasetRejected(
            "class_without_train_examples",
            f"{len(absent)} of the {len(class_names)} classes have no example in the train split, "
            f"the first is {absent[0]}. Labels count from 0 without gaps: add train examples, or "
            "remove the class.",
            entries=absent,
        )
    if sum(train) < MIN_TRAIN_EXAMPLES:
        raise DatasetRejected(
            "too_few_examples",
            f"The train split has {sum(train)} examples; at least {MIN_TRAIN_EXAMPLES} are needed.",
        )
