"""One column of the report: everything that is measured of one network.

N examples of a split, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

import safetensors.torch
import torch
from torch import nn

from kdcore.data import ArrayDataset, SplitName
from kdcore.evaluation.latency import measure_latency
from kdcore.evaluation.predict import predict_logits
from kdcore.evaluation.scores import score
from kdcore.models import Classifier, count_flops, count_parameters
from kdcore.report import Difference, MeanScores, NetworkReport, SplitScores

DEFAULT_BATCH_SIZE = 256


@dataclass(frozen=True)
class EvaluatedNetwork:
    """A column of the report with the logits behind it, by split."""

    report: NetworkReport
    logits_NC: Mapping[SplitName, torch.Tensor]


def evaluate_network(
    classifier: Classifier,
    dataset: ArrayDataset,
    *,
    splits: Sequence[SplitName],
    device: torch.device,
    teacher: EvaluatedNetwork | None = None,
    latency: bool = True,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> EvaluatedNetwork:
    """Measure a network on splits of a dataset, against a teacher if one is given.

    What it costs is measured at the size of the images that the network itself takes.

    Args:
        classifier: Already on `device`; it is left in the mode it was in.
        dataset: What it is measured on.
        splits: Which splits.
        device: Where the classifier is.
        teacher: What the teacher answered on the same splits of the same dataset.
        latency: Whether to time forward passes; about two seconds.
        batch_size: Images at a time.

    Raises:
        LogitsNotFinite: the network or the teacher gives NaN or infinity.
    """
    logits = {
        name: predict_logits(classifier, dataset.split(name), batch_size=batch_size, device=device)
        for name in splits
    }
    scores = {
        name: score(
            logits[name],
            torch.from_numpy(dataset.split(name).labels_N.copy()),
            teacher_logits_NC=None if teacher is None else teacher.logits_NC[name],
        )
        for name in splits
    }
    report = NetworkReport(
        splits={str(name): value for name, value in scores.items()},
        parameters=count_parameters(classifier.network),
        megaflops=count_flops(classifier.network, classifier.image) / 1e6,
        size_bytes=_size_bytes(classifier.network),
        latency=measure_latency(classifier, classifier.image, device=device) if latency else (),
    )
    return EvaluatedNetwork(report, MappingProxyType(logits))


def difference(student: NetworkReport, control: NetworkReport) -> dict[str, Difference]:
    """Student minus control on every split both were measured on: what the teacher was worth."""
    return {
        split: Difference(
            num_errors=mine.num_errors - other.num_errors,
            accuracy=mine.accuracy - other.accuracy,
            cross_entropy=mine.cross_entropy - other.cross_entropy,
            expected_calibration_error=(
                mine.expected_calibration_error - other.expected_calibration_error
            ),
        )
        for split, mine in student.splits.items()
        if (other := control.splits.get(split)) is not None
    }


def mean_scores(scores: Sequence[SplitScores]) -> MeanScores:
    """Average what several networks score on one split; at least one."""
    return MeanScores(
        num_errors=fmean(one.num_errors for one in scores),
        accuracy=fmean(one.accuracy for one in scores),
        cross_entropy=fmean(one.cross_entropy for one in scores),
        expected_calibration_error=fmean(one.expected_calibration_error for one in scores),
    )


def _size_bytes(network: nn.Module) -> int:
    """Count the bytes of the weights as a safetensors file."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return len(safetensors.torch.save(tensors))
