"""How long one forward pass takes, measured on the machine at hand.

B batch, C channels, H height, W width.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from kdcore.evaluation.eval_mode import eval_mode
from kdcore.models import Classifier
from kdcore.report import Latency
from kdcore.spec.networks import ImageInput

BATCH_SIZES = (1, 64)
_MAX_WARM_UPS = 10
_MAX_REPEATS = 200
_WARM_UP_SHARE = 0.2

Clock = Callable[[], float]


def measure_latency(
    classifier: Classifier,
    image: ImageInput,
    *,
    device: torch.device,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    budget_seconds: float = 1.0,
    clock: Clock = time.perf_counter,
) -> tuple[Latency, ...]:
    """Time forward passes in eval mode and float32, with the threads that torch uses now.

    Each batch size takes about `budget_seconds` or 200 passes, whichever ends first; a network
    so slow that two passes take longer is timed once, after one pass to warm up.

    Args:
        classifier: Already on `device`; it is left in the mode it was in.
        image: The size of the images.
        device: On CUDA the passes are timed by the device's own events.
        batch_sizes: One result for each.
        budget_seconds: Bound on the time of one batch size.
        clock: Gives seconds; only differences count.
    """
    with eval_mode(classifier), torch.inference_mode():
        return tuple(
            _measure(
                classifier,
                _images(batch_size, image, device),
                budget_seconds=budget_seconds,
                clock=clock,
            )
            for batch_size in batch_sizes
        )


def _images(batch_size: int, image: ImageInput, device: torch.device) -> torch.Tensor:
    # Laid out as evaluation lays them out.
    images_BCHW = torch.full((batch_size, *image.shape_CHW), 0.5, device=device)
    return images_BCHW.contiguous(memory_format=torch.channels_last)


def _measure(
    classifier: Classifier, images_BCHW: torch.Tensor, *, budget_seconds: float, clock: Clock
) -> Latency:
    def seconds_of_a_pass() -> float:
        if images_BCHW.device.type == "cuda":
            return _cuda_seconds(classifier, images_BCHW)
        started = clock()
        classifier(images_BCHW)
        return clock() - started

    started = clock()
    for _ in range(_MAX_WARM_UPS):
        seconds_of_a_pass()
        if clock() - started >= _WARM_UP_SHARE * budget_seconds:
            break
    samples = [seconds_of_a_pass()]
    while len(samples) < _MAX_REPEATS and clock() - started < budget_seconds:
        samples.append(seconds_of_a_pass())
    median_ms, p95_ms = np.percentile(np.array(samples) * 1000.0, [50, 95]).tolist()
    return Latency(
        batch_size=len(images_BCHW),
        median_ms=median_ms,
        p95_ms=p95_ms,
        num_repeats=len(samples),
        device=str(images_BCHW.device),
        num_threads=torch.get_num_threads(),
    )


def _cuda_seconds(classifier: Classifier, images_BCHW: torch.Tensor) -> float:
    started = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    started.record()
    classifier(images_BCHW)
    ended.record()
    ended.synchronize()
    return float(started.elapsed_time(ended)) / 1000.0
