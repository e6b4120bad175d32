"""What logits score against labels and against a teacher, in float64.

N examples, C classes, P pairs of classes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from kdcore.errors import LogitsNotFinite
from kdcore.report import Confusion, SplitScores

NUM_CALIBRATION_BINS = 15
MAX_MATRIX_CLASSES = 500
"""Networks of more classes get no confusion matrix: 10,000 classes would have 100 million cells."""
MAX_CONFUSIONS = 100
# float64 copies of the logits are made for this many numbers at a time.
_NUMBERS_AT_ONCE = 2**22


@dataclass(frozen=True)
class _PerExample:
    """One value an example, float64."""

    cross_entropy_N: torch.Tensor
    confidence_N: torch.Tensor
    kl_N: torch.Tensor | None


def score(
    logits_NC: torch.Tensor,
    labels_N: torch.Tensor,
    *,
    teacher_logits_NC: torch.Tensor | None = None,
) -> SplitScores:
    """Score one network on one split.

    A prediction is the largest logit, of equal ones the first.

    Args:
        logits_NC: The network's outputs.
        labels_N: int64, from 0 up to C.
        teacher_logits_NC: The teacher's outputs on the same examples in the same order.

    Raises:
        LogitsNotFinite: a logit is NaN or infinite, so nothing can be said of the network.
        ValueError: no example, or shapes or labels that do not belong together.
    """
    logits_NC, labels_N = logits_NC.detach().cpu(), labels_N.detach().cpu()
    if teacher_logits_NC is not None:
        teacher_logits_NC = teacher_logits_NC.detach().cpu()
    _check(logits_NC, labels_N, teacher_logits_NC)
    num_examples, num_classes = logits_NC.shape
    predictions_N = logits_NC.argmax(1)
    is_right_N = predictions_N == labels_N
    counts_C = torch.bincount(labels_N, minlength=num_classes)
    right_C = torch.bincount(labels_N[is_right_N], minlength=num_classes)
    each = _per_example(logits_NC, labels_N, teacher_logits_NC)
    num_right = int(is_right_N.sum())
    agreement = (
        None
        if teacher_logits_NC is None
        else int((predictions_N == teacher_logits_NC.argmax(1)).sum()) / num_examples
    )
    return SplitScores(
        num_examples=num_examples,
        num_errors=num_examples - num_right,
        accuracy=num_right / num_examples,
        accuracy_top5=_top5(logits_NC, labels_N) if num_classes > 5 else None,
        per_class_accuracy=tuple(
            right / count if count else None
            for right, count in zip(right_C.tolist(), counts_C.tolist(), strict=True)
        ),
        per_class_num_examples=tuple(counts_C.tolist()),
        confusion_matrix=_confusion_matrix(labels_N, predictions_N, num_classes=num_classes),
        most_confused=_most_confused(labels_N, predictions_N, counts_C),
        cross_entropy=float(each.cross_entropy_N.mean()),
        expected_calibration_error=calibration_error(each.confidence_N, is_right_N),
        agreement=agreement,
        kl_to_teacher=None if each.kl_N is None else float(each.kl_N.mean()),
    )


def calibration_error(confidence_N: torch.Tensor, is_right_N: torch.Tensor) -> float:
    """Expected calibration error of Guo et al. 2017 (arXiv:1706.04599), equation 3.

    15 bins ((m-1)/15, m/15] of the largest probability; the mean over examples of the distance
    between a bin's accuracy and its mean confidence.
    """
    confidence_N = confidence_N.double()
    bins_N = (confidence_N * NUM_CALIBRATION_BINS).ceil().long().sub(1)
    bins_N = bins_N.clamp(0, NUM_CALIBRATION_BINS - 1)
    gaps_M = torch.zeros(NUM_CALIBRATION_BINS, dtype=torch.float64)
    # Summed over a bin, right - confidence is its size times (accuracy - mean confidence).
    gaps_M.index_add_(0, bins_N, is_right_N.double() - confidence_N)
    return float(gaps_M.abs().sum()) / len(confidence_N)


def _check(
    logits_NC: torch.Tensor, labels_N: torch.Tensor, teacher_logits_NC: torch.Tensor | None
) -> None:
    if logits_NC.dim() != 2 or labels_N.shape != logits_NC.shape[:1] or not len(labels_N):
        raise ValueError(
            f"Scores need logits [N, C] and labels [N] with N > 0, not {list(logits_NC.shape)} "
            f"and {list(labels_N.shape)}."
        )
    if teacher_logits_NC is not None and teacher_logits_NC.shape != logits_NC.shape:
        raise ValueError(
            f"Teacher logits {list(teacher_logits_NC.shape)} are not of the same examples and "
            f"classes as the logits {list(logits_NC.shape)}."
        )
    if int(labels_N.min()) < 0 or int(labels_N.max()) >= logits_NC.shape[1]:
        raise ValueError(f"Labels must lie from 0 up to the {logits_NC.shape[1]} classes.")
    for whose, tensor_NC in (("network", logits_NC), ("teacher", teacher_logits_NC)):
        if tensor_NC is not None and not bool(torch.isfinite(tensor_NC).all()):
            num_examples = int((~torch.isfinite(tensor_NC)).any(1).sum())
            raise LogitsNotFinite(whose, num_examples=num_examples)


def _confusion_matrix(
    labels_N: torch.Tensor, predictions_N: torch.Tensor, *, num_classes: int
) -> tuple[tuple[int, ...], ...] | None:
    """Count examples by true label (row) and prediction (column), unless it would be too large."""
    if num_classes > MAX_MATRIX_CLASSES:
        return None
    cells_N = labels_N * num_classes + predictions_N
    confusion_CC = torch.bincount(cells_N, minlength=num_classes**2).view(num_classes, -1)
    return tuple(tuple(row) for row in confusion_CC.tolist())


def _most_confused(
    labels_N: torch.Tensor, predictions_N: torch.Tensor, counts_C: torch.Tensor
) -> tuple[Confusion, ...]:
    """List the most frequent pairs of a true label (there are P) and another, predicted one."""
    num_classes = len(counts_C)
    cells_N = labels_N * num_classes + predictions_N
    wrong_N = cells_N[labels_N != predictions_N]
    cells_P, numbers_P = torch.unique(wrong_N, return_counts=True)
    order_P = numbers_P.argsort(descending=True, stable=True)[:MAX_CONFUSIONS]
    return tuple(
        Confusion(
            label=cell // num_classes,
            predicted=cell % num_classes,
            num_examples=number,
            share=number / int(counts_C[cell // num_classes]),
        )
        for cell, number in zip(cells_P[order_P].tolist(), numbers_P[order_P].tolist(), strict=True)
    )


def _top5(logits_NC: torch.Tensor, labels_N: torch.Tensor) -> float:
    """Share of examples with fewer than five classes ahead of the label's.

    Of equal logits the first is ahead, as in a prediction.
    """
    own_N1 = logits_NC.gather(1, labels_N[:, None])
    is_before_NC = torch.arange(logits_NC.shape[1]) < labels_N[:, None]
    is_ahead_NC = (logits_NC > own_N1) | ((logits_NC == own_N1) & is_before_NC)
    return int((is_ahead_NC.sum(1) < 5).sum()) / len(labels_N)


def _per_example(
    logits_NC: torch.Tensor, labels_N: torch.Tensor, teacher_logits_NC: torch.Tensor | None
) -> _PerExample:
    rows = max(1, _NUMBERS_AT_ONCE // logits_NC.shape[1])
    cross_entropies, confidences, divergences = [], [], []
    for start in range(0, len(labels_N), rows):
        some = slice(start, start + rows)
        log_p_NC = F.log_softmax(logits_NC[some].double(), 1)
        cross_entropies.append(F.nll_loss(log_p_NC, labels_N[some], reduction="none"))
        confidences.append(log_p_NC.amax(1).exp())
        if teacher_logits_NC is not None:
            log_t_NC = F.log_softmax(teacher_logits_NC[some].double(), 1)
            divergences.append((log_t_NC.exp() * (log_t_NC - log_p_NC)).sum(1))
    return _PerExample(
        torch.cat(cross_entropies),
        torch.cat(confidences),
        torch.cat(divergences) if divergences else None,
    )
