"""Measures a teacher before it teaches: does it know the dataset's classes, in their order?

N examples that are measured, C classes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from kdcore.data import ArraySplit
from kdcore.data.stratified import choose_per_class
from kdcore.evaluation import DEFAULT_BATCH_SIZE, predict_logits
from kdcore.models import Classifier

MAX_IMAGES = 2000


@dataclass(frozen=True)
class TeacherCheck:
    """How often a teacher is right on labelled images, each class counting the same.

    Attributes:
        balanced_accuracy: Mean over classes of the share of their images that is recognised.
        counts: Images of each class that were measured; only classes that have any.
    """

    balanced_accuracy: float
    counts: tuple[int, ...]

    @property
    def num_images(self) -> int:
        """Images that were measured."""
        return sum(self.counts)

    @property
    def chance(self) -> float:
        """The most that answers can reach which do not depend on the image: 1/C."""
        return 1 / len(self.counts)

    @property
    def is_near_chance(self) -> bool:
        """Whether nothing speaks for a teacher that looks at the images and knows the classes.

        It must be above chance by three standard deviations of what guessing scores (of a mean
        over C classes of n images each: sqrt(Σ_C p(1-p)/n)/C with p = 1/C), and by a quarter of
        chance, which is more where images are many. Where they are so few that this asks for the
        upper half between chance and 1, the upper half is enough.
        """
        variance = self.chance * (1 - self.chance) * sum(1 / count for count in self.counts)
        deviation = math.sqrt(variance) / len(self.counts)
        margin = max(3 * deviation, self.chance / 4)
        return self.balanced_accuracy <= self.chance + min(margin, (1 - self.chance) / 2)


def check_teacher(
    classifier: Classifier, split: ArraySplit, *, device: torch.device
) -> TeacherCheck | None:
    """Measure a teacher on up to 2,000 images of a split, by the same share of every class.

    Args:
        classifier: Already on `device`.
        split: A labelled train split. It is thinned out the same way each time.
        device: Where the classifier is.

    Returns:
        None if the split has fewer than two classes, so that guessing is always right.
    """
    fraction = min(1.0, MAX_IMAGES / len(split))
    chosen = split.subset(
        np.flatnonzero(choose_per_class(split.labels_N, fraction=fraction, seed=0))
    )
    counts_C = np.bincount(chosen.labels_N)
    present_C = counts_C > 0
    if present_C.sum() < 2:
        return None
    logits_NC = predict_logits(classifier, chosen, batch_size=DEFAULT_BATCH_SIZE, device=device)
    right_N = logits_NC.argmax(dim=1).numpy() == chosen.labels_N
    right_C = np.bincount(chosen.labels_N, weights=right_N)
    return TeacherCheck(
        balanced_accuracy=float((right_C[present_C] / counts_C[present_C]).mean()),
        counts=tuple(counts_C[present_C].tolist()),
    )
