"""Offsets that bring mean predictions to a prior: exact, unique, and found from anywhere."""

# N images, C classes

import pytest
import torch

from kdcore.calibration import match_prior
from kdcore.errors import CalibrationFailed


@pytest.fixture
def labels_N() -> torch.Tensor:
    return torch.arange(600) % 5


@pytest.fixture
def logits_NC(labels_N: torch.Tensor) -> torch.Tensor:
    """Answers that are often right, of a network that has never met class 3."""
    generator = torch.Generator().manual_seed(0)
    logits_NC = torch.randn(len(labels_N), 5, generator=generator)
    logits_NC[torch.arange(len(labels_N)), labels_N] += 4
    logits_NC[:, 3] -= 5
    return logits_NC


def mean_C(logits_NC: torch.Tensor, offsets_C: torch.Tensor) -> torch.Tensor:
    return (logits_NC.double() + offsets_C).softmax(dim=1).mean(dim=0)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("moved", [(3,), (1, 3), (0, 1, 2, 3, 4)])
def test_mean_prediction_of_each_class_that_moves_is_its_prior(
    logits_NC: torch.Tensor, moved: tuple[int, ...], scale: float
) -> None:
    prior = (0.1, 0.2, 0.3, 0.25, 0.15)

    offsets_C = match_prior(scale * logits_NC, prior, moved=moved)

    found_C = mean_C(scale * logits_NC, offsets_C)
    assert found_C[list(moved)].tolist() == pytest.approx([prior[i] for i in moved], abs=2e-9)
    stayed = [label for label in range(5) if label not in moved]
    assert offsets_C[stayed].tolist() == [0.0] * len(stayed)


def test_network_that_answers_the_prior_already_is_left_as_it_is(logits_NC: torch.Tensor) -> None:
    prior = mean_C(logits_NC, torch.zeros(5)).tolist()

    assert match_prior(logits_NC, prior, moved=range(5)).abs().max() < 1e-6


def test_offsets_taken_off_are_found_again(logits_NC: torch.Tensor) -> None:
    taken_C = torch.tensor([1.0, -3.0, 0.0, 7.0, 0.5], dtype=torch.float64)
    prior = mean_C(logits_NC, torch.zeros(5)).tolist()

    found_C = match_prior(logits_NC.double() - taken_C, prior, moved=range(5))

    # Only differences between offsets can be known where all move.
    torch.testing.assert_close(found_C - found_C[0], taken_C - taken_C[0], rtol=0, atol=1e-6)


def test_of_classes_that_all_move_the_most_frequent_one_stays(logits_NC: torch.Tensor) -> None:
    offsets_C = match_prior(logits_NC, (0.1, 0.2, 0.3, 0.25, 0.15), moved=range(5))

    assert offsets_C[2] == 0
    assert bool((offsets_C[[0, 1, 3, 4]] != 0).all())


def test_class_that_was_never_seen_is_answered_again(
    logits_NC: torch.Tensor, labels_N: torch.Tensor
) -> None:
    def share_of_threes(logits_NC: torch.Tensor) -> float:
        return float((logits_NC[labels_N == 3].argmax(dim=1) == 3).double().mean())

    offsets_C = match_prior(logits_NC, [0.2] * 5, moved=(3,))

    assert share_of_threes(logits_NC) < 0.5
    assert share_of_threes(logits_NC + offsets_C) > 0.9


def test_answer_does_not_depend_on_how_many_images_are_taken_at_a_time(
    logits_NC: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_C = match_prior(logits_NC, [0.2] * 5, moved=range(5))
    monkeypatch.setattr("kdcore.calibration.prior_matching._NUMBERS_AT_ONCE", 35)
    in_parts_C = match_prior(logits_NC, [0.2] * 5, moved=range(5))

    torch.testing.assert_close(in_parts_C, whole_C, rtol=0, atol=1e-6)


def test_images_that_are_all_told_apart_without_doubt_are_still_matched() -> None:
    """Where Newton's step finds no curvature, the slower step goes on."""
    logits_NC = torch.tensor([[0.0, -1e4]] * 3 + [[0.0, -3e4]])

    offsets_C = match_prior(logits_NC, (0.5, 0.5), moved=(1,))

    assert mean_C(logits_NC, offsets_C)[1] == pytest.approx(0.5, abs=1e-9)


def test_too_few_steps_are_told(logits_NC: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdcore.calibration.prior_matching._MAX_STEPS", 1)
    with pytest.raises(CalibrationFailed, match="rule fixed"):
        match_prior(logits_NC, [0.2] * 5, moved=(3,))
