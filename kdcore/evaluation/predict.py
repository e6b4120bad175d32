"""The logits of a network on a whole split.

N examples of the split, C classes.
"""

import math
from itertools import pairwise

import torch

from kdcore.data import ArraySplit, EvalView
from kdcore.distributed import World
from kdcore.evaluation.eval_mode import eval_mode
from kdcore.evaluation.exact_float32 import exact_float32
from kdcore.models import Classifier


def predict_logits(
    classifier: Classifier,
    split: ArraySplit,
    *,
    batch_size: int,
    device: torch.device,
) -> torch.Tensor:
    """Run `classifier` on every image of `split`, in order and without augmentation.

    Runs in eval mode, in exact float32 and under `inference_mode`, whatever the caller trains in;
    afterwards the network is in the mode it was in before.

    Args:
        classifier: Already on `device`.
        split: Its uint8 pixels are given to the classifier as values in [0, 1].
        batch_size: Images at a time. It changes the logits by rounding at most.
        device: Where the classifier is.

    Returns:
        logits_NC, float32, on the CPU.
    """
    batches = EvalView(split, device=device).batches(batch_size)
    with eval_mode(classifier), exact_float32(device), torch.inference_mode():
        logits_NC = torch.cat([classifier(batch.images_BCHW) for batch in batches])
    return logits_NC.float().cpu()


def predict_logits_together(
    classifier: Classifier,
    split: ArraySplit,
    *,
    num_classes: int,
    batch_size: int,
    device: torch.device,
    world: World,
) -> torch.Tensor:
    """Run `classifier` like `predict_logits`, each process of `world` on some of the batches.

    They are the batches of a process on its own, so that logits have the same bits.

    Returns:
        logits_NC of the whole split, the same in every process.
    """
    num_batches = math.ceil(len(split) / batch_size)
    parts = [batch_size * (num_batches * rank // world.size) for rank in range(world.size)] + [
        len(split)
    ]
    sizes = tuple(stop - start for start, stop in pairwise(parts))
    own = split.rows(parts[world.rank], parts[world.rank + 1])
    logits_NC = (
        predict_logits(classifier, own, batch_size=batch_size, device=device)
        if len(own)
        else torch.empty(0, num_classes)
    )
    return world.gathered_rows(logits_NC, sizes)
