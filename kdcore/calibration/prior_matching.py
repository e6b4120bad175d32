"""Finds class offsets with which the mean prediction over unlabelled images is a given prior.

With offsets b, p_nc = softmax(z_n + b)_c. The offsets wanted solve mean_n p_nc = prior_c for every
class c that moves. Those are the conditions for a minimum of the convex function

    F(b) = mean_n log Σ_c exp(z_nc + b_c) − Σ_c prior_c·b_c,

whose gradient is mean p − prior and whose Hessian is mean_n (diag(p_n) − p_n p_nᵀ).

Saerens, Latinne, Decaestecker: Adjusting the Outputs of a Classifier to New a Priori
Probabilities, 2002, correct by a given prior; Hinton, Vinyals, Dean 2015 (arXiv:1503.02531,
section 3) shift the bias of an omitted class by hand.

N images, C classes, M classes that move.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from kdcore.errors import CalibrationFailed

_TOLERANCE = 1e-9
_MAX_STEPS = 500
_MAX_HALVINGS = 50
_SUFFICIENT_SHARE = 1e-4
# Keeps the Hessian invertible where predictions are so sure that p(1 − p) rounds to 0.
_RIDGE = 1e-15
# float64 copies of the logits are made for this many numbers at a time.
_NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True)
class _Point:
    """F and its derivatives along the classes that move."""

    value: float
    mean_M: torch.Tensor
    log_mean_M: torch.Tensor
    hessian_MM: torch.Tensor


def match_prior(
    logits_NC: torch.Tensor, prior: Sequence[float], *, moved: Sequence[int]
) -> torch.Tensor:
    """Find the offsets; solved in float64 until every mean is within 1e-9 of its prior.

    Each step is Newton's where that lowers F enough, halved until it does; else the step
    b += log(prior / mean p), which lowers F wherever it stands.

    Args:
        logits_NC: The network's outputs on the images, finite.
        prior: The share of each class, adding up to 1; above 0 for those that move.
        moved: Labels whose offsets are free. If all are, the answer is fixed only up to a number
            added to all; the offset of the most frequent class, of equals the first, is then 0.

    Returns:
        offsets_C, float64 on the CPU; 0 where nothing moves.

    Raises:
        CalibrationFailed: no convergence in 500 steps.
    """
    num_classes = logits_NC.shape[1]
    free = sorted(set(moved))
    if len(free) == num_classes:
        free.remove(max(free, key=lambda label: prior[label]))
    prior_M = torch.tensor([prior[label] for label in free], dtype=torch.float64)
    problem = _Problem(logits_NC, prior_M, torch.tensor(free))
    offsets_M = torch.zeros_like(prior_M)
    here = problem.at(offsets_M)
    for _ in range(_MAX_STEPS):
        if float((here.mean_M - prior_M).abs().max()) <= _TOLERANCE:
            offsets_C = torch.zeros(num_classes, dtype=torch.float64)
            offsets_C[free] = offsets_M
            return offsets_C
        offsets_M, here = problem.step(offsets_M, here)
    raise CalibrationFailed(
        f"No offsets were found in {_MAX_STEPS} steps that bring the mean predictions to the "
        "prior; the network may be too sure of itself. Use the rule fixed, or another prior."
    )


class _Problem:
    """F for given logits and prior, as a function of the offsets that move."""

    def __init__(
        self, logits_NC: torch.Tensor, prior_M: torch.Tensor, free_M: torch.Tensor
    ) -> None:
        rows = max(1, _NUMBERS_AT_ONCE // logits_NC.shape[1])
        self._num_images = len(logits_NC)
        self._parts = [logits_NC[start : start + rows] for start in range(0, len(logits_NC), rows)]
        self._prior_M = prior_M
        self._free_M = free_M

    def at(self, offsets_M: torch.Tensor) -> _Point:
        """Compute value and derivatives."""
        sum_of_logs = 0.0
        log_sums = []
        hessian_MM = torch.zeros(len(offsets_M), len(offsets_M), dtype=torch.float64)
        for part_BC in self._parts:
            # Taking each row's own logarithm off first keeps F near 0, where float64 is finest.
            log_q_BC = F.log_softmax(part_BC.double(), dim=1)
            log_q_BC = log_q_BC.index_add(1, self._free_M, offsets_M.expand(len(part_BC), -1))
            log_sum_B = log_q_BC.logsumexp(dim=1)
            log_p_BM = log_q_BC[:, self._free_M] - log_sum_B[:, None]
            p_BM = log_p_BM.exp()
            sum_of_logs += float(log_sum_B.sum())
            log_sums.append(log_p_BM.logsumexp(dim=0))
            hessian_MM += torch.diag(p_BM.sum(dim=0)) - p_BM.T @ p_BM
        log_mean_M = torch.stack(log_sums).logsumexp(dim=0) - math.log(self._num_images)
        return _Point(
            value=sum_of_logs / self._num_images - float(self._prior_M @ offsets_M),
            mean_M=log_mean_M.exp(),
            log_mean_M=log_mean_M,
            hessian_MM=hessian_MM / self._num_images,
        )

    def step(self, offsets_M: torch.Tensor, here: _Point) -> tuple[torch.Tensor, _Point]:
        """Go to offsets with a lower F."""
        gradient_M = here.mean_M - self._prior_M
        ridge_MM = _RIDGE * torch.eye(len(offsets_M), dtype=torch.float64)
        newton_M = -torch.linalg.solve(here.hessian_MM + ridge_MM, gradient_M)
        slope = float(gradient_M @ newton_M)
        for halvings in range(_MAX_HALVINGS):
            share = 0.5**halvings
            there_M = offsets_M + share * newton_M
            there = self.at(there_M)
            if there.value <= here.value + _SUFFICIENT_SHARE * share * slope:
                return there_M, there
        there_M = offsets_M + self._prior_M.log() - here.log_mean_M
        return there_M, self.at(there_M)
