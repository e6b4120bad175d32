"""Finds class offsets with which most predictions on labelled images are right.

N images, C classes, I = N + 1 intervals.
"""

from collections.abc import Sequence

import torch

# How far beyond the last margin an offset goes that has no margin above or below it.
_BEYOND = 1.0
# Narrower intervals between margins might be lost to rounding.
_NARROWEST = 1e-9


def most_accurate_offsets(
    logits_NC: torch.Tensor, labels_N: torch.Tensor, *, moved: Sequence[int]
) -> torch.Tensor:
    """Find the offsets of `moved` that make most images right, the others' staying 0.

    For one class this is exact: accuracy changes only where the offset passes an image's margin,
    and every interval between margins is tried. For several classes all move together first,
    then one after the other, again and again until no single one helps; so a better answer may
    exist that moves several against each other. Where many offsets are equally right, the middle
    of the widest interval is taken; an offset that no other betters stays.

    Args:
        logits_NC: The network's outputs, finite.
        labels_N: int64, from 0 up to C.
        moved: Labels whose offsets are free; at least one.

    Returns:
        offsets_C, float64 on the CPU; 0 where nothing moves.
    """
    logits_NC = logits_NC.double()
    offsets_C = torch.zeros(logits_NC.shape[1], dtype=torch.float64)
    labels = sorted(set(moved))
    if len(labels) < len(offsets_C):
        offsets_C[labels] += _best_shift(logits_NC, labels_N, labels)
    groups = [[label] for label in labels]
    num_still = 0
    while num_still < len(groups):
        for group in groups:
            shift = _best_shift(logits_NC + offsets_C, labels_N, group)
            offsets_C[group] += shift
            num_still = 0 if shift else num_still + 1
    return offsets_C


def _best_shift(logits_NC: torch.Tensor, labels_N: torch.Tensor, group: list[int]) -> float:
    """Find the number that, added to all logits of `group`, makes most images right."""
    is_inside_C = torch.zeros(logits_NC.shape[1], dtype=torch.bool)
    is_inside_C[group] = True
    inside_N, choice_inside_N = logits_NC.masked_fill(~is_inside_C, -torch.inf).max(dim=1)
    outside_N, choice_outside_N = logits_NC.masked_fill(is_inside_C, -torch.inf).max(dim=1)
    margins_N, order_N = (outside_N - inside_N).sort()
    # Above its margin an image goes to the group: what that makes right and wrong.
    gain_N = (choice_inside_N == labels_N).long() - (choice_outside_N == labels_N).long()
    # Interval i lies above i of the margins; between equal ones there is none.
    gain_I = torch.cat([torch.zeros(1, dtype=torch.int64), gain_N[order_N].cumsum(0)])
    infinity_1 = torch.full((1,), torch.inf, dtype=torch.float64)
    lower_I, upper_I = torch.cat([-infinity_1, margins_N]), torch.cat([margins_N, infinity_1])
    widths_I = upper_I - lower_I
    gain_I = gain_I.masked_fill(widths_I < _NARROWEST, -len(labels_N))
    num_right = int((logits_NC.argmax(dim=1) == labels_N).sum())
    if int((choice_outside_N == labels_N).sum() + gain_I.max()) <= num_right:
        return 0.0
    widths_I = widths_I.masked_fill(gain_I < gain_I.max(), 0.0)
    best = int(widths_I.argmax())
    lower, upper = float(lower_I[best]), float(upper_I[best])
    if lower == -torch.inf:
        return upper - _BEYOND
    return lower + _BEYOND if upper == torch.inf else (lower + upper) / 2
