"""Checks that an exported file computes what the network computes.

B batch, C channels (images) or classes (logits), H height, W width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from kdcore.errors import ExportFailed
from kdcore.evaluation import eval_mode, exact_float32
from kdcore.models import Classifier

TOLERANCE = 1e-4
"""Largest difference of a logit, over the largest logit or 1, that counts as rounding."""

Program = Callable[[torch.Tensor], torch.Tensor]
"""From images_BCHW to logits_BC, both float32 on the CPU."""


@dataclass(frozen=True)
class Reference:
    """Real images, and what the network itself answers; float32 on the CPU."""

    images_BCHW: torch.Tensor
    logits_BC: torch.Tensor


def take_reference(classifier: Classifier, images_BCHW: torch.Tensor) -> Reference:
    """Ask the network, where it is and in eval mode; it is left in the mode it was in.

    Args:
        classifier: On any device.
        images_BCHW: Floats in [0, 1]; at least one image. A few dozen of the test split do.

    Raises:
        ValueError: there is no image.
    """
    if not len(images_BCHW):
        raise ValueError("An export is checked on real images; give at least one.")
    device = classifier.mean_C11.device
    with eval_mode(classifier), exact_float32(device), torch.inference_mode():
        logits_BC = classifier(images_BCHW.to(device, torch.float32))
    return Reference(images_BCHW.to("cpu", torch.float32).contiguous(), logits_BC.cpu())


def check_program(program: Program, reference: Reference, *, name: str) -> None:
    """Run `program` on all reference images at once and on the first alone.

    Every logit must be within `TOLERANCE` of the network's. Predictions must be the same, except
    where the network's own two largest logits are closer than that, so that rounding decides.

    Args:
        program: The exported file, loaded back.
        reference: What it must answer.
        name: The file's name, for the error.

    Raises:
        ExportFailed: telling how far off it is.
    """
    expected_BC = reference.logits_BC
    _check_logits(program(reference.images_BCHW), expected_BC, name=name)
    _check_logits(program(reference.images_BCHW[:1]), expected_BC[:1], name=name)


@contextmanager
def removed_if_wrong(path: Path) -> Iterator[None]:
    """Remove `path` if the block finds it wrong, so that nobody takes it for a good export."""
    try:
        yield
    except ExportFailed:
        path.unlink()
        raise


def _check_logits(found_BC: torch.Tensor, expected_BC: torch.Tensor, *, name: str) -> None:
    if found_BC.shape != expected_BC.shape:
        raise ExportFailed(
            f"{name} gives outputs of shape {list(found_BC.shape)} where the network gives "
            f"{list(expected_BC.shape)}."
        )
    allowed = TOLERANCE * max(1.0, float(expected_BC.abs().max()))
    worst = float((found_BC - expected_BC).abs().max())
    # Not `worst > allowed`: that is false for NaN.
    if not worst <= allowed:
        raise ExportFailed(
            f"{name} was run on {len(expected_BC)} images and its logits differ from the "
            f"network's by up to {worst:.3g}, where {allowed:.3g} would be rounding."
        )
    largest_B2 = expected_BC.topk(2, 1).values
    is_clear_B = largest_B2[:, 0] - largest_B2[:, 1] > allowed
    differs_B = found_BC.argmax(1) != expected_BC.argmax(1)
    if bool((differs_B & is_clear_B).any()):
        raise ExportFailed(
            f"{name} was run on {len(expected_BC)} images and predicts another class for "
            f"{int((differs_B & is_clear_B).sum())} of them."
        )
