"""The learning rate of a step."""

import pytest

from kdcore.spec import ConstantSchedule, CosineSchedule, ScheduleSpec, StepSchedule
from kdcore.trainer.schedules import learning_rate_at


def rate(schedule: ScheduleSpec, step: int) -> float:
    return learning_rate_at(schedule, base_rate=0.4, step=step, num_steps=100, steps_per_epoch=10)


def test_constant_keeps_the_base_rate() -> None:
    assert {rate(ConstantSchedule(), step) for step in range(100)} == {0.4}


def test_step_multiplies_at_each_milestone_epoch() -> None:
    schedule = StepSchedule(milestones=(3, 5), gamma=0.1)
    assert rate(schedule, 29) == 0.4
    assert rate(schedule, 30) == pytest.approx(0.04)
    assert rate(schedule, 49) == pytest.approx(0.04)
    assert rate(schedule, 50) == pytest.approx(0.004)


def test_cosine_starts_full_is_half_in_the_middle_and_ends_at_its_fraction() -> None:
    assert rate(CosineSchedule(), 0) == 0.4
    assert rate(CosineSchedule(), 50) == pytest.approx(0.2)
    assert rate(CosineSchedule(), 99) == pytest.approx(0.4 * 0.0002467, rel=1e-3)
    assert rate(CosineSchedule(final_fraction=0.5), 50) == pytest.approx(0.3)


def test_warmup_rises_linearly_and_reaches_the_base_rate_at_its_last_step() -> None:
    schedule = CosineSchedule(warmup_epochs=2)
    assert [rate(schedule, step) for step in (0, 9, 19)] == pytest.approx([0.02, 0.2, 0.4])
    assert rate(schedule, 20) == 0.4
    assert rate(schedule, 60) == pytest.approx(0.2)


def test_milestones_may_count_steps() -> None:
    schedule = StepSchedule(milestones=(25,), unit="steps")

    assert rate(schedule, 24) == 0.4
    assert rate(schedule, 25) == pytest.approx(0.04)
