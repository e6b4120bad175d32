"""Scores against scikit-learn, numpy and hand arithmetic."""

# N examples, C classes

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from sklearn.utils.extmath import softmax

from kdcore.errors import LogitsNotFinite
from kdcore.evaluation import calibration_error, score
from kdcore.evaluation import scores as scores_module
from kdcore.evaluation.scores import MAX_CONFUSIONS, MAX_MATRIX_CLASSES
from kdcore.report import Confusion


def _random(num_examples: int, num_classes: int, *, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    logits_NC = 3 * torch.randn(num_examples, num_classes, generator=generator)
    teacher_logits_NC = 3 * torch.randn(num_examples, num_classes, generator=generator)
    labels_N = torch.randint(0, num_classes, (num_examples,), generator=generator)
    return logits_NC, teacher_logits_NC, labels_N


def _near(expected: float | list[float]) -> object:
    return pytest.approx(expected, rel=1e-12, abs=1e-14)


class TestScore:
    def test_counts_agree_with_scikit_learn(self) -> None:
        logits_NC, _, labels_N = _random(500, 7)

        scores = score(logits_NC, labels_N)

        predictions_N = logits_NC.numpy().argmax(1)
        expected_CC = sklearn.metrics.confusion_matrix(labels_N, predictions_N, labels=range(7))
        recalls_C = sklearn.metrics.recall_score(labels_N, predictions_N, average=None)
        accuracy = sklearn.metrics.accuracy_score(labels_N, predictions_N)
        assert scores.confusion_matrix is not None
        assert np.array_equal(scores.confusion_matrix, expected_CC)
        assert scores.accuracy == _near(accuracy)
        assert scores.per_class_accuracy == _near(list(recalls_C))
        assert scores.num_examples == 500
        assert scores.num_errors == round(500 * (1 - accuracy))

    def test_top5_agrees_with_scikit_learn(self) -> None:
        logits_NC, _, labels_N = _random(400, 9)

        expected = sklearn.metrics.top_k_accuracy_score(
            labels_N, logits_NC.numpy(), k=5, labels=range(9)
        )

        assert score(logits_NC, labels_N).accuracy_top5 == _near(expected)

    @pytest.mark.parametrize(("num_classes", "has_top5"), [(2, False), (5, False), (6, True)])
    def test_top5_means_nothing_with_five_classes_or_fewer(
        self, num_classes: int, has_top5: bool
    ) -> None:
        logits_NC, _, labels_N = _random(20, num_classes)

        assert (score(logits_NC, labels_N).accuracy_top5 is not None) is has_top5

    def test_top5_breaks_ties_towards_the_first_class(self) -> None:
        logits_NC = torch.zeros(6, 6)

        assert score(logits_NC, torch.arange(6)).accuracy_top5 == _near(5 / 6)

    def test_cross_entropy_agrees_with_scikit_learn(self) -> None:
        logits_NC, _, labels_N = _random(300, 4)

        probabilities_NC = softmax(logits_NC.double().numpy())
        expected = sklearn.metrics.log_loss(labels_N, probabilities_NC, labels=range(4))

        assert score(logits_NC, labels_N).cross_entropy == _near(expected)

    def test_cross_entropy_of_a_hopeless_answer_is_finite_and_exact(self) -> None:
        logits_NC = torch.tensor([[0.0, 5000.0]])

        assert score(logits_NC, torch.tensor([0])).cross_entropy == 5000.0

    def test_kl_to_the_teacher_agrees_with_numpy(self) -> None:
        logits_NC, teacher_logits_NC, labels_N = _random(200, 5)

        scores = score(logits_NC, labels_N, teacher_logits_NC=teacher_logits_NC)

        teacher_NC = softmax(teacher_logits_NC.double().numpy())
        student_NC = softmax(logits_NC.double().numpy())
        expected = (teacher_NC * np.log(teacher_NC / student_NC)).sum(1).mean()
        assert scores.kl_to_teacher == _near(expected)

    def test_kl_of_two_classes_by_hand(self) -> None:
        # Teacher (3/4, 1/4), network (1/2, 1/2).
        teacher_logits_NC = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)

        scores = score(torch.zeros(1, 2), torch.tensor([0]), teacher_logits_NC=teacher_logits_NC)

        assert scores.kl_to_teacher == _near(0.75 * math.log(1.5) + 0.25 * math.log(0.5))

    def test_a_network_agrees_with_itself(self) -> None:
        logits_NC, _, labels_N = _random(50, 5)

        scores = score(logits_NC, labels_N, teacher_logits_NC=logits_NC)

        assert (scores.agreement, scores.kl_to_teacher) == (1.0, 0.0)

    def test_agreement_counts_equal_predictions_right_or_wrong(self) -> None:
        logits_NC = torch.eye(4)
        teacher_logits_NC = torch.eye(4)[[0, 1, 3, 2]]

        scores = score(logits_NC, torch.tensor([0, 3, 2, 3]), teacher_logits_NC=teacher_logits_NC)

        assert (scores.agreement, scores.accuracy) == (0.5, 0.75)

    def test_without_a_teacher_nothing_is_said_about_one(self) -> None:
        logits_NC, _, labels_N = _random(10, 3)

        scores = score(logits_NC, labels_N)

        assert (scores.agreement, scores.kl_to_teacher) == (None, None)

    def test_class_without_examples_has_no_accuracy(self) -> None:
        scores = score(torch.eye(3)[:2], torch.tensor([0, 0]))

        assert scores.per_class_accuracy == (0.5, None, None)
        assert scores.confusion_matrix == ((1, 1, 0), (0, 0, 0), (0, 0, 0))

    def test_most_frequent_confusions_come_first_and_hits_never(self) -> None:
        labels_N = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
        predictions_N = torch.tensor([0, 1, 2, 2, 0, 1, 2, 2])

        assert score(torch.eye(3)[predictions_N], labels_N).most_confused == (
            Confusion(label=0, predicted=2, num_examples=2, share=0.5),
            Confusion(label=0, predicted=1, num_examples=1, share=0.25),
            Confusion(label=1, predicted=0, num_examples=1, share=0.5),
        )

    @pytest.mark.parametrize("num_classes", [MAX_MATRIX_CLASSES, MAX_MATRIX_CLASSES + 1])
    def test_only_many_classes_have_no_matrix_but_their_confusions(self, num_classes: int) -> None:
        labels_N = torch.arange(num_classes)
        logits_NC = torch.eye(num_classes).roll(1, dims=1)  # each is taken for the next

        scores = score(logits_NC, labels_N)

        assert (scores.confusion_matrix is None) == (num_classes > MAX_MATRIX_CLASSES)
        assert scores.per_class_num_examples == (1,) * num_classes
        assert scores.per_class_accuracy == (0.0,) * num_classes
        assert len(scores.most_confused) == MAX_CONFUSIONS
        assert (scores.most_confused[7].label, scores.most_confused[7].predicted) == (7, 8)

    def test_report_of_ten_thousand_classes_is_small(self) -> None:
        logits_NC = torch.randn(200, 10_000, generator=torch.Generator().manual_seed(0))

        scores = score(logits_NC, torch.arange(200))

        assert len(scores.model_dump_json()) < 2**20

    def test_scores_do_not_depend_on_how_many_rows_are_taken_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logits_NC, teacher_logits_NC, labels_N = _random(50, 6)
        whole = score(logits_NC, labels_N, teacher_logits_NC=teacher_logits_NC)

        monkeypatch.setattr(scores_module, "_NUMBERS_AT_ONCE", 42)

        assert score(logits_NC, labels_N, teacher_logits_NC=teacher_logits_NC) == whole

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_network_that_diverged_is_told_apart_from_a_bad_one(self, value: float) -> None:
        logits_NC = torch.tensor([[0.0, value], [1.0, 0.0], [value, 0.0]])

        with pytest.raises(LogitsNotFinite) as caught:
            score(logits_NC, torch.tensor([0, 0, 1]))

        assert (caught.value.whose, caught.value.num_examples) == ("network", 2)
        assert caught.value.fault == "user"

    def test_teacher_that_is_not_finite_is_named(self) -> None:
        with pytest.raises(LogitsNotFinite) as caught:
            score(
                torch.zeros(1, 2),
                torch.tensor([0]),
                teacher_logits_NC=torch.tensor([[math.inf, 0.0]]),
            )

        assert caught.value.whose == "teacher"

    @pytest.mark.parametrize(
        ("logits_NC", "labels_N", "teacher_logits_NC"),
        [
            (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), None),
            (torch.zeros(3, 2), torch.tensor([0, 1]), None),
            (torch.zeros(2, 2), torch.tensor([0, 2]), None),
            (torch.zeros(2, 2), torch.tensor([0, -1]), None),
            (torch.zeros(2, 2), torch.tensor([0, 1]), torch.zeros(2, 3)),
        ],
        ids=["no example", "other length", "label too large", "label below 0", "other teacher"],
    )
    def test_what_does_not_belong_together_is_refused(
        self,
        logits_NC: torch.Tensor,
        labels_N: torch.Tensor,
        teacher_logits_NC: torch.Tensor | None,
    ) -> None:
        with pytest.raises(ValueError, match=r"logits|Labels"):
            score(logits_NC, labels_N, teacher_logits_NC=teacher_logits_NC)


class TestCalibrationError:
    def test_two_bins_by_hand(self) -> None:
        # Bin (12/15, 13/15]: confidence 0.85 twice, one right: |0.5 - 0.85|, weight 2/4.
        # Bin (14/15, 1]: confidence 0.95 and 1, both right: |1 - 0.975|, weight 2/4.
        confidence_N = torch.tensor([0.85, 0.85, 0.95, 1.0], dtype=torch.float64)
        is_right_N = torch.tensor([True, False, True, True])

        error = calibration_error(confidence_N, is_right_N)

        assert error == _near(0.5 * 0.35 + 0.5 * 0.025)

    def test_edge_belongs_to_the_lower_bin(self) -> None:
        # 0.2 is the upper edge of bin 3 of 15, 0.21 is in bin 4: two gaps, not one.
        confidence_N = torch.tensor([0.2, 0.21], dtype=torch.float64)

        error = calibration_error(confidence_N, torch.tensor([True, False]))

        assert error == _near((0.8 + 0.21) / 2)

    def test_over_and_under_confidence_cancel_inside_a_bin(self) -> None:
        confidence_N = torch.tensor([0.5, 0.5], dtype=torch.float64)

        assert calibration_error(confidence_N, torch.tensor([True, False])) == _near(0.0)

    def test_confidence_zero_and_one_lie_in_the_first_and_last_bin(self) -> None:
        confidence_N = torch.tensor([0.0, 1.0])

        assert calibration_error(confidence_N, torch.tensor([False, True])) == 0.0
