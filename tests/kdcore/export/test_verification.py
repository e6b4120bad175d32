"""What counts as the same answer."""

# B batch, C channels or classes, H height, W width

import math

import pytest
import torch

from kdcore.errors import ExportFailed
from kdcore.export.verification import (
    TOLERANCE,
    Program,
    Reference,
    check_program,
    take_reference,
)
from kdcore.models import Classifier

REFERENCE = Reference(torch.zeros(2, 1, 1, 1), torch.tensor([[1.0, 0.0, -8.0], [0.0, 2.0, 0.5]]))


def _answers(logits_BC: torch.Tensor) -> Program:
    return lambda images_BCHW: logits_BC[: len(images_BCHW)]


class TestCheckProgram:
    def test_rounding_is_accepted(self) -> None:
        rounded_BC = REFERENCE.logits_BC + 8 * 0.9 * TOLERANCE

        check_program(_answers(rounded_BC), REFERENCE, name="x.onnx")

    def test_more_than_rounding_is_refused_with_the_difference(self) -> None:
        wrong_BC = REFERENCE.logits_BC.clone()
        wrong_BC[1, 2] += 0.25

        with pytest.raises(ExportFailed, match=r"x\.onnx .* 0\.25"):
            check_program(_answers(wrong_BC), REFERENCE, name="x.onnx")

    def test_nan_is_refused(self) -> None:
        wrong_BC = REFERENCE.logits_BC.clone()
        wrong_BC[0, 0] = math.nan

        with pytest.raises(ExportFailed):
            check_program(_answers(wrong_BC), REFERENCE, name="x.onnx")

    def test_other_prediction_on_a_near_tie_is_rounding(self) -> None:
        reference = Reference(REFERENCE.images_BCHW[:1], torch.tensor([[1.0, 1.0 + 1e-6]]))

        check_program(_answers(torch.tensor([[1.0, 1.0 - 1e-6]])), reference, name="x.onnx")

    def test_other_prediction_beyond_a_near_tie_is_refused(self) -> None:
        # Both logits move by less than the tolerance, their order changes all the same.
        reference = Reference(REFERENCE.images_BCHW[:1], torch.tensor([[0.0, 1.5 * TOLERANCE]]))
        found_BC = torch.tensor([[0.9 * TOLERANCE, 0.8 * TOLERANCE]])

        with pytest.raises(ExportFailed, match="another class"):
            check_program(_answers(found_BC), reference, name="x.onnx")

    def test_program_for_one_batch_size_is_refused(self) -> None:
        def fixed_size(images_BCHW: torch.Tensor) -> torch.Tensor:
            del images_BCHW
            return REFERENCE.logits_BC

        with pytest.raises(ExportFailed, match="shape"):
            check_program(fixed_size, REFERENCE, name="x.onnx")


class TestTakeReference:
    def test_answers_are_those_in_eval_mode_and_the_mode_stays(
        self, classifier: Classifier, sample_images_BCHW: torch.Tensor
    ) -> None:
        classifier.eval()
        with torch.no_grad():
            expected_BC = classifier(sample_images_BCHW)
        classifier.train()

        reference = take_reference(classifier, sample_images_BCHW)

        torch.testing.assert_close(reference.logits_BC, expected_BC)
        assert classifier.training

    def test_no_image_is_refused(
        self, classifier: Classifier, sample_images_BCHW: torch.Tensor
    ) -> None:
        with pytest.raises(ValueError, match="at least one"):
            take_reference(classifier, sample_images_BCHW[:0])
