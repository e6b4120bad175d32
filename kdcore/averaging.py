"""One answer from several networks: weighted means of logits or of probabilities.

K networks, B batch, C classes, w weights that add up to 1, T temperature.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def mean_of_logits(logits_KBC: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Compute Σ_K w·z, as logits_BC.

    A softmax of it is the geometric mean of the networks' probabilities, brought to sum 1: one
    network that is sure that a class is wrong outweighs the others.

    Args:
        logits_KBC: One network's logits behind the other's; half precision becomes float32.
        weights: One positive number a network; only their proportions count.
    """
    logits_KBC = _full_precision(logits_KBC)
    with torch.autocast(logits_KBC.device.type, enabled=False):
        return (_shares(weights, logits_KBC).reshape(-1, 1, 1) * logits_KBC).sum(dim=0)


def mean_of_probabilities(
    logits_KBC: torch.Tensor, weights: Sequence[float], *, temperature: float = 1.0
) -> torch.Tensor:
    """Compute T · log Σ_K w·softmax(z/T), as logits_BC.

    So softmax(logits/T) is the arithmetic mean of the networks' softmax(z/T), which is what
    Hinton, Vinyals and Dean (2015, arXiv:1503.02531, section 5) take as an ensemble's targets.
    It is no such mean at another temperature. Worked out in logarithms: no probability is ever
    rounded to 0.

    Args:
        logits_KBC: One network's logits behind the other's; half precision becomes float32.
        weights: One positive number a network; only their proportions count.
        temperature: T, above 0.
    """
    logits_KBC = _full_precision(logits_KBC)
    with torch.autocast(logits_KBC.device.type, enabled=False):
        log_w_K11 = _shares(weights, logits_KBC).log().reshape(-1, 1, 1)
        log_p_KBC = F.log_softmax(logits_KBC / temperature, dim=2)
        return temperature * torch.logsumexp(log_w_K11 + log_p_KBC, dim=0)


def _full_precision(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _shares(weights: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """Scale the weights to sum 1.

    Raises:
        ValueError: another number of weights than of networks, or one that is not above 0.
    """
    if len(weights) != len(like) or not all(weight > 0 for weight in weights):
        raise ValueError(f"{len(like)} networks need as many positive weights, not {weights}.")
    total = sum(weights)
    return torch.tensor([w / total for w in weights], dtype=like.dtype, device=like.device)
