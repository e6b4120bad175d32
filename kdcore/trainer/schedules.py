"""The learning rate of every step, as a pure function: a resumed run needs no scheduler state."""

import math

from kdcore.spec import ConstantSchedule, ScheduleSpec, StepSchedule


def learning_rate_at(
    schedule: ScheduleSpec,
    *,
    base_rate: float,
    step: int,
    num_steps: int,
    steps_per_epoch: int,
) -> float:
    """Give the learning rate of optimizer step `step` (from 0) out of `num_steps`.

    Warm-up rises linearly and reaches `base_rate` at its last step. The cosine runs over the
    steps after warm-up: rate(0) = base, rate(num_steps) = base * final_fraction.
    """
    warmup_steps = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return base_rate * (step + 1) / warmup_steps
    if isinstance(schedule, ConstantSchedule):
        return base_rate
    if isinstance(schedule, StepSchedule):
        unit = steps_per_epoch if schedule.unit == "epochs" else 1
        passed = sum(step >= milestone * unit for milestone in schedule.milestones)
        return base_rate * schedule.gamma**passed
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return base_rate * (schedule.final_fraction + (1 - schedule.final_fraction) * cosine)
