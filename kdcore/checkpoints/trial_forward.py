"""One forward pass of two images with a stranger's weights: it must end, with finite logits.

B batch, C channels, H height, W width, K classes.
"""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import torch
from torch import nn

from kdcore.checkpoints.codes import Code, refusal
from kdcore.models import Classifier, load_weights
from kdcore.spec.networks import NetworkDescription

_NUM_IMAGES = 2


class _TimeIsUp(Exception):
    """The alarm rang; never leaves this module."""


def check_forward(
    network_on_meta: nn.Module,
    weights: Mapping[str, torch.Tensor],
    description: NetworkDescription,
    *,
    timeout_seconds: float,
) -> None:
    """Run the network with `weights` once on two images of noise.

    The network takes the tensors of `weights` themselves, not copies.
    The time limit holds in the main thread only, where it uses the process's alarm.

    Raises:
        CheckpointRejected: if the pass fails, takes too long, or gives NaN or infinity.
    """
    # Every architecture keeps all its tensors in its state dict, so none is left on meta.
    load_weights(network_on_meta, weights, assign=True)
    network_on_meta.eval()
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.rand(_NUM_IMAGES, *description.input.shape_CHW, generator=generator)
    try:
        with _alarm(timeout_seconds), torch.inference_mode():
            logits_BK = Classifier(network_on_meta, description.input)(images_BCHW)
    except _TimeIsUp:
        raise refusal(
            Code.FORWARD_TOO_SLOW,
            f"Two images took more than {timeout_seconds:g} seconds to classify. Use a smaller "
            "architecture or smaller images.",
        ) from None
    except (RuntimeError, MemoryError):
        raise refusal(
            Code.FORWARD_FAILED,
            "The network could not be run on two images of the declared input. Check the input's "
            "size, or use a smaller architecture.",
        ) from None
    if not logits_BK.isfinite().all():
        raise refusal(
            Code.LOGITS_NOT_FINITE,
            "With these weights the network's logits are NaN or infinite. Check the weights and "
            "the declared normalisation by running the network yourself.",
        )


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
