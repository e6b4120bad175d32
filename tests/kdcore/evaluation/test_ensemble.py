"""Networks that answer together are scored by the mean of their answers."""

import numpy as np
import pytest
import torch

from kdcore.data import ArrayDataset
from kdcore.evaluation import EvaluatedNetwork, evaluate_ensemble, evaluate_network
from kdcore.models import Classifier, build_network
from kdcore.report import Latency
from kdcore.spec import NetworkDescription
from kdcore.spec.jobs import TeacherAverage


@pytest.fixture
def members(description: NetworkDescription, dataset: ArrayDataset) -> list[EvaluatedNetwork]:
    return [
        evaluate_network(
            Classifier(build_network(description, seed=seed), description.input),
            dataset,
            splits=["train", "test"],
            device=torch.device("cpu"),
            latency=False,
        )
        for seed in range(3)
    ]


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_predictions_are_those_of_the_weighted_mean(
    members: list[EvaluatedNetwork], dataset: ArrayDataset, average: TeacherAverage
) -> None:
    together = evaluate_ensemble(members, dataset, weights=(1.0, 2.0, 3.0), average=average)

    for split in ("train", "test"):
        logits_KNC = torch.stack([member.logits_NC[split] for member in members])
        values_KNC = logits_KNC if average == "logits" else logits_KNC.softmax(2)
        mean_NC = np.average(values_KNC.numpy(), axis=0, weights=(1.0, 2.0, 3.0))
        num_errors = int((mean_NC.argmax(1) != dataset.split(split).labels_N).sum())
        assert together.report.splits[split].num_errors == num_errors
    assert set(together.logits_NC) == {"train", "test"}


def test_costs_are_added_up(members: list[EvaluatedNetwork], dataset: ArrayDataset) -> None:
    timed = [
        EvaluatedNetwork(
            member.report.model_copy(update={"latency": (_latency(1, ms), _latency(64, 9 * ms))}),
            member.logits_NC,
        )
        for member, ms in zip(members, (1.0, 2.0, 4.0), strict=True)
    ]

    report = evaluate_ensemble(timed, dataset, weights=(1, 1, 1), average="logits").report

    assert report.parameters == 3 * members[0].report.parameters
    assert report.size_bytes == 3 * members[0].report.size_bytes
    assert report.megaflops == pytest.approx(3 * members[0].report.megaflops)
    assert [(each.batch_size, each.median_ms) for each in report.latency] == [(1, 7.0), (64, 63.0)]
    assert report.latency[0].p95_ms == 14.0


def _latency(batch_size: int, median_ms: float) -> Latency:
    return Latency(
        batch_size=batch_size,
        median_ms=median_ms,
        p95_ms=2 * median_ms,
        num_repeats=9,
        device="cpu",
        num_threads=1,
    )
