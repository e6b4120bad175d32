"""What a loss sees of one training step.

B batch, C channels (images) or classes (logits), H height, W width.
"""

from dataclasses import dataclass

import torch

from kdcore.features import Observation


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a batch; under mixup and cutmix, of both images that made each example.

    Attributes:
        labels_B: int64.
        other_B: int64, labels of what was mixed in; None where nothing was mixed.
        share_B: float32, the share of `labels_B`; what was mixed in has 1 - share_B.
    """

    labels_B: torch.Tensor
    other_B: torch.Tensor | None = None
    share_B: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One step, as the student and the teacher saw it.

    Attributes:
        student: What the student answered; a loss may differentiate through it.
        teacher: What the teacher answered to the same images, without gradients; None where no
            term asked for it.
        labels: None where no term asked for them.
        images_BCHW: float32 in [0, 1], before anyone's normalisation.
        indices_B: int64, positions in the transfer set: only images that can come are counted.
        epoch: Epochs of this run that are finished, as a fraction: 0.5 is half of the first.
    """

    student: Observation
    teacher: Observation | None
    labels: Labels | None
    images_BCHW: torch.Tensor
    indices_B: torch.Tensor
    epoch: float
