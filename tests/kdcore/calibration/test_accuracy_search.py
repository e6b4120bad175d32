"""Offsets under which most images are right: no number that one could try does better."""

# N images, C classes

import pytest
import torch

from kdcore.calibration import most_accurate_offsets


@pytest.fixture
def labels_N() -> torch.Tensor:
    return torch.arange(300) % 5


@pytest.fixture
def logits_NC(labels_N: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    logits_NC = torch.randn(len(labels_N), 5, generator=generator)
    logits_NC[torch.arange(len(labels_N)), labels_N] += 2
    logits_NC[:, 3] -= 5
    return logits_NC


def num_right(logits_NC: torch.Tensor, labels_N: torch.Tensor) -> int:
    return int((logits_NC.argmax(dim=1) == labels_N).sum())


def test_no_other_offset_of_one_class_is_better(
    logits_NC: torch.Tensor, labels_N: torch.Tensor
) -> None:
    offsets_C = most_accurate_offsets(logits_NC, labels_N, moved=(3,))

    found = num_right(logits_NC + offsets_C, labels_N)
    step_C = torch.eye(5, dtype=torch.float64)[3]
    tried = [num_right(logits_NC + step_C * k / 100, labels_N) for k in range(-2000, 2000)]
    assert found == max(tried)
    assert found > num_right(logits_NC, labels_N)
    assert offsets_C[[0, 1, 2, 4]].tolist() == [0.0] * 4


def test_several_classes_that_are_all_too_high_come_down_together(
    logits_NC: torch.Tensor, labels_N: torch.Tensor
) -> None:
    """A student of two classes alone answers nothing else; neither can come down by itself."""
    wrong_C = torch.tensor([0.0, 12.0, 0.0, 0.0, 12.0])

    offsets_C = most_accurate_offsets(logits_NC + wrong_C, labels_N, moved=(1, 4))

    best_C = most_accurate_offsets(logits_NC, labels_N, moved=(1, 4))
    right = num_right(logits_NC + wrong_C + offsets_C, labels_N)
    assert right >= num_right(logits_NC + best_C, labels_N) - 2
    assert float(offsets_C[[1, 4]].max()) < -8


def test_every_class_may_move(logits_NC: torch.Tensor, labels_N: torch.Tensor) -> None:
    one_C = most_accurate_offsets(logits_NC, labels_N, moved=(3,))
    all_C = most_accurate_offsets(logits_NC, labels_N, moved=range(5))

    assert num_right(logits_NC + all_C, labels_N) >= num_right(logits_NC + one_C, labels_N)


def test_offset_that_nothing_betters_stays_zero(labels_N: torch.Tensor) -> None:
    logits_NC = 10 * torch.nn.functional.one_hot(labels_N, 5).float()

    assert most_accurate_offsets(logits_NC, labels_N, moved=range(5)).tolist() == [0.0] * 5


@pytest.mark.parametrize(("label", "offset"), [(0, -3.0), (1, 3.0)])
def test_class_that_is_always_or_never_right_goes_just_beyond_the_last_margin(
    label: int, offset: float
) -> None:
    """Two images of class 1, two higher by 2 in class 0: one number beyond is enough."""
    logits_NC = torch.tensor([[2.0, 0.0], [2.0, 0.0]])

    offsets_C = most_accurate_offsets(logits_NC, torch.tensor([1, 1]), moved=(label,))

    assert offsets_C[label] == offset


def test_middle_of_the_widest_interval_is_taken() -> None:
    # Class 1 wins above a margin of 1 and of 5; the second image is not its.
    logits_NC = torch.tensor([[1.0, 0.0], [5.0, 0.0]])

    offsets_C = most_accurate_offsets(logits_NC, torch.tensor([1, 0]), moved=(1,))

    assert offsets_C.tolist() == [0.0, 3.0]


def test_margins_that_are_equal_leave_no_interval_between_them() -> None:
    logits_NC = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])

    offsets_C = most_accurate_offsets(logits_NC, torch.tensor([1, 1, 0]), moved=(1,))

    assert num_right(logits_NC + offsets_C, torch.tensor([1, 1, 0])) == 2
