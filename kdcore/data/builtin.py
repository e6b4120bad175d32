"""Datasets that need no upload and no network."""

from pathlib import Path

import numpy as np

from kdcore.data.canonical import CanonicalWriter, new_folder
from kdcore.data.rejection import shown
from kdcore.data.stratified import choose_test_examples
from kdcore.errors import DatasetRejected
from kdcore.spec.datasets import DatasetDescription

BUILTIN_NAMES = ("digits",)
_DIGITS_LARGEST = 16  # scikit-learn's digits count inked pixels in 4×4 blocks


def builtin(name: str, destination: Path) -> DatasetDescription:
    """Write a built-in dataset as a canonical folder; the same bytes each time.

    `digits`: the 1,797 handwritten digits of 8×8 pixels that come with scikit-learn (from the
    UCI set of Alpaydin and Kaynak, 1998), a fifth of each class in the test split. Values of 0 to
    16 become 0 to 255, rounded to the nearest.

    Raises:
        DatasetRejected: `unknown_builtin`.
        OSError: If `destination` exists and is not an empty folder.
    """
    if name not in BUILTIN_NAMES:
        raise DatasetRejected(
            "unknown_builtin",
            f"There is no built-in dataset {shown(name)}. There is {', '.join(BUILTIN_NAMES)}.",
        )
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes a second, only for this

    digits = load_digits()
    images_NHWC = np.rint(digits.images * 255 / _DIGITS_LARGEST).astype(np.uint8)[..., np.newaxis]
    labels_N = digits.target.astype(np.int64)
    class_names = tuple(str(digit) for digit in range(10))
    is_test_N = choose_test_examples(labels_N, class_names)
    with new_folder(destination) as folder, CanonicalWriter(folder, (8, 8, 1)) as writer:
        writer.append("train", images_NHWC[~is_test_N], labels_N[~is_test_N])
        writer.append("test", images_NHWC[is_test_N], labels_N[is_test_N])
        return writer.finish(name=name, class_names=class_names, num_skipped={})
