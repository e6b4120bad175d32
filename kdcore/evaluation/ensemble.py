"""One column of the report for several networks that answer together.

K networks, N examples of a split, C classes.
"""

from collections.abc import Sequence
from types import MappingProxyType

import torch

from kdcore.averaging import mean_of_logits, mean_of_probabilities
from kdcore.data import ArrayDataset, SplitName
from kdcore.evaluation.network_report import EvaluatedNetwork
from kdcore.evaluation.scores import score
from kdcore.report import Latency, NetworkReport
from kdcore.spec.jobs import TeacherAverage


def evaluate_ensemble(
    members: Sequence[EvaluatedNetwork],
    dataset: ArrayDataset,
    *,
    weights: Sequence[float],
    average: TeacherAverage,
) -> EvaluatedNetwork:
    """Score the mean of what networks answered, and add up what they cost.

    The mean of probabilities is taken at temperature 1, as a classifier's probabilities are.

    Args:
        members: What each network answered on the same splits of `dataset`.
        dataset: Whose labels count.
        weights: One positive number a network; only their proportions count.
        average: What is averaged.
    """
    mean = mean_of_logits if average == "logits" else mean_of_probabilities
    logits: dict[SplitName, torch.Tensor] = {
        split: mean(torch.stack([member.logits_NC[split] for member in members]), weights)
        for split in members[0].logits_NC
    }
    reports = [member.report for member in members]
    report = NetworkReport(
        splits={
            str(split): score(logits_NC, torch.from_numpy(dataset.split(split).labels_N.copy()))
            for split, logits_NC in logits.items()
        },
        parameters=sum(one.parameters for one in reports),
        megaflops=sum(one.megaflops for one in reports),
        size_bytes=sum(one.size_bytes for one in reports),
        latency=tuple(
            _one_after_the_other(latencies)
            for latencies in zip(*(one.latency for one in reports), strict=True)
        ),
    )
    return EvaluatedNetwork(report, MappingProxyType(logits))


def _one_after_the_other(latencies: Sequence[Latency]) -> Latency:
    """Add up the networks' times; the sum of their p95 bounds the p95 of the sum from above."""
    return latencies[0].model_copy(
        update={
            "median_ms": sum(one.median_ms for one in latencies),
            "p95_ms": sum(one.p95_ms for one in latencies),
            "num_repeats": min(one.num_repeats for one in latencies),
        }
    )
