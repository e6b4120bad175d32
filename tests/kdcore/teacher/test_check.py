"""A teacher is measured on some images of every class, and told from guessing."""

# N examples, H height, W width, C channels (images) or classes (logits)

import math

import numpy as np
import pytest
import torch
from torch import nn

from kdcore.data import ArraySplit
from kdcore.models import Classifier
from kdcore.spec import ImageInput
from kdcore.teacher import TeacherCheck, check_teacher
from kdcore.teacher.check import MAX_IMAGES

CPU = torch.device("cpu")
IMAGE = ImageInput(channels=1, height=1, width=1)


class _PixelReader(nn.Module):
    """Says that an image of brightness i is of class `answers[i]`."""

    def __init__(self, answers: list[int]) -> None:
        super().__init__()
        self.answers_N = torch.tensor(answers)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        values_B = (images_BCHW.flatten() * 255).round().long()
        return nn.functional.one_hot(self.answers_N[values_B], 10).float()


def split(counts: list[int]) -> ArraySplit:
    """Make images whose brightness is their label, so many of each."""
    labels_N = np.repeat(np.arange(len(counts)), counts)
    return ArraySplit(labels_N.astype(np.uint8).reshape(-1, 1, 1, 1), labels_N)


def check(answers: list[int], counts: list[int]) -> TeacherCheck:
    found = check_teacher(Classifier(_PixelReader(answers), IMAGE), split(counts), device=CPU)
    assert found is not None
    return found


def test_every_class_counts_the_same() -> None:
    found = check([0, 0, 2], [60, 30, 10])
    assert found.balanced_accuracy == pytest.approx(2 / 3)
    assert found.counts == (60, 30, 10)
    assert found.chance == pytest.approx(1 / 3)


def test_no_more_than_2000_images_are_looked_at_and_every_class_is() -> None:
    found = check([0, 1, 2], [9000, 995, 5])
    assert found.num_images == pytest.approx(MAX_IMAGES, abs=2)
    assert found.counts == (1800, 199, 1)


def test_classes_without_an_image_do_not_count() -> None:
    found = check([0, 1, 2], [50, 0, 50])
    assert (found.balanced_accuracy, found.counts, found.chance) == (1.0, (50, 50), 0.5)


def test_of_one_class_nothing_can_be_said() -> None:
    teacher = Classifier(_PixelReader([0]), IMAGE)
    assert check_teacher(teacher, split([50]), device=CPU) is None


class TestNearChance:
    def test_teacher_that_always_says_one_class_is_near_chance(self) -> None:
        assert check([1] * 10, [100] * 10).is_near_chance

    def test_teacher_with_classes_in_another_order_is_near_chance(self) -> None:
        assert check([1, 2, 3, 4, 5, 6, 7, 8, 9, 0], [100] * 10).is_near_chance

    def test_teacher_that_knows_the_classes_is_not(self) -> None:
        assert not check(list(range(10)), [100] * 10).is_near_chance

    def test_many_images_ask_for_a_quarter_more_than_chance(self) -> None:
        counts = (200,) * 10
        assert TeacherCheck(0.1249, counts).is_near_chance
        assert not TeacherCheck(0.1251, counts).is_near_chance

    def test_fewer_images_ask_for_three_deviations_of_guessing(self) -> None:
        counts = (20,) * 10
        deviation = math.sqrt(0.1 * 0.9 / sum(counts))
        assert TeacherCheck(0.1 + 2.99 * deviation, counts).is_near_chance
        assert not TeacherCheck(0.1 + 3.01 * deviation, counts).is_near_chance

    def test_very_few_images_ask_for_the_upper_half(self) -> None:
        assert TeacherCheck(0.75, (2, 2)).is_near_chance
        assert not TeacherCheck(1.0, (2, 2)).is_near_chance

    def test_guessing_is_found_near_chance(self) -> None:
        """Of 2,000 teachers that guess on 200 images, hardly one gets past."""
        generator = np.random.default_rng(0)
        right = generator.random((2000, 4, 50)) < 0.25
        passed = [not TeacherCheck(float(one.mean()), (50,) * 4).is_near_chance for one in right]
        assert sum(passed) <= 8
