"""A whole column of the report, and the difference of two."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.data import ArrayDataset
from kdcore.errors import LogitsNotFinite
from kdcore.evaluation import difference, evaluate_network
from kdcore.export import write_weights
from kdcore.models import Classifier, build_network
from kdcore.report import NetworkReport, SplitScores
from kdcore.spec import NetworkDescription

CPU = torch.device("cpu")


@pytest.fixture
def teacher(description: NetworkDescription) -> Classifier:
    return Classifier(build_network(description, seed=9), description.input)


class TestEvaluateNetwork:
    def test_every_split_asked_for_is_scored(
        self, classifier: Classifier, dataset: ArrayDataset
    ) -> None:
        found = evaluate_network(
            classifier, dataset, splits=["train", "test"], device=CPU, latency=False
        )

        assert {name: s.num_examples for name, s in found.report.splits.items()} == {
            "train": 30,
            "test": 21,
        }
        assert found.report.latency == ()

    def test_accuracy_is_that_of_the_logits(
        self, classifier: Classifier, dataset: ArrayDataset
    ) -> None:
        found = evaluate_network(classifier, dataset, splits=["test"], device=CPU, latency=False)

        right = found.logits_NC["test"].numpy().argmax(1) == dataset.test.labels_N
        assert found.report.splits["test"].accuracy == np.mean(right)

    def test_cost_is_counted(self, classifier: Classifier, dataset: ArrayDataset) -> None:
        report = evaluate_network(
            classifier, dataset, splits=["test"], device=CPU, latency=False
        ).report

        assert report.parameters == sum(p.numel() for p in classifier.network.parameters())
        # The stem alone: 8·8 places, 3·3 kernel, 1 to 4 channels, 2 per multiply-add.
        assert report.megaflops > 8 * 8 * 9 * 4 * 2 / 1e6

    def test_size_is_that_of_the_exported_file(
        self,
        classifier: Classifier,
        dataset: ArrayDataset,
        description: NetworkDescription,
        tmp_path: Path,
    ) -> None:
        report = evaluate_network(
            classifier, dataset, splits=["test"], device=CPU, latency=False
        ).report

        write_weights(classifier.network.state_dict(), description, run="student", folder=tmp_path)

        assert report.size_bytes == (tmp_path / "student.safetensors").stat().st_size

    def test_student_is_compared_with_the_teacher_on_the_same_split(
        self, classifier: Classifier, teacher: Classifier, dataset: ArrayDataset
    ) -> None:
        by_teacher = evaluate_network(teacher, dataset, splits=["test"], device=CPU, latency=False)

        report = evaluate_network(
            classifier, dataset, splits=["test"], device=CPU, teacher=by_teacher, latency=False
        ).report

        mine = evaluate_network(classifier, dataset, splits=["test"], device=CPU, latency=False)
        same = mine.logits_NC["test"].argmax(1) == by_teacher.logits_NC["test"].argmax(1)
        assert report.splits["test"].agreement == same.double().mean()
        assert report.splits["test"].kl_to_teacher is not None
        assert by_teacher.report.splits["test"].agreement is None

    def test_latency_is_measured_for_one_image_and_for_64(
        self, classifier: Classifier, dataset: ArrayDataset
    ) -> None:
        report = evaluate_network(classifier, dataset, splits=["test"], device=CPU).report

        assert [one.batch_size for one in report.latency] == [1, 64]

    def test_network_that_diverged_is_refused(
        self, classifier: Classifier, dataset: ArrayDataset
    ) -> None:
        with torch.no_grad():
            next(classifier.network.parameters()).fill_(torch.nan)

        with pytest.raises(LogitsNotFinite):
            evaluate_network(classifier, dataset, splits=["test"], device=CPU, latency=False)


def _column(*, num_errors: int, cross_entropy: float, splits: tuple[str, ...]) -> NetworkReport:
    scores = SplitScores(
        num_examples=8,
        num_errors=num_errors,
        accuracy=1 - num_errors / 8,
        accuracy_top5=None,
        per_class_accuracy=(0.5, None),
        confusion_matrix=((8 - num_errors, num_errors), (0, 0)),
        cross_entropy=cross_entropy,
        expected_calibration_error=0.25 * num_errors,
    )
    return NetworkReport(
        splits=dict.fromkeys(splits, scores), parameters=1, megaflops=1.0, size_bytes=1
    )


def test_difference_is_student_minus_control() -> None:
    student = _column(num_errors=1, cross_entropy=0.25, splits=("test",))
    control = _column(num_errors=3, cross_entropy=1.0, splits=("test",))

    found = difference(student, control)["test"]

    assert (found.num_errors, found.accuracy) == (-2, 0.25)
    assert (found.cross_entropy, found.expected_calibration_error) == (-0.75, -0.5)


def test_difference_covers_the_splits_of_both() -> None:
    student = _column(num_errors=1, cross_entropy=0.25, splits=("train", "test"))
    control = _column(num_errors=1, cross_entropy=0.25, splits=("test",))

    assert set(difference(student, control)) == {"test"}
