"""What a plan says of its steps."""

from dataclasses import replace

from kdcore.methods import CrossEntropy, Objective
from kdcore.spec import TrainingSpec
from kdcore.trainer import RunPlan
from tests.kdcore.trainer.run_plans import STEPS_PER_EPOCH, plan


def stages(*lengths: int, every_epochs: int | None) -> RunPlan:
    objective = Objective([(1.0, CrossEntropy())])
    return replace(
        plan([(objective, length) for length in lengths]),
        training=TrainingSpec(checkpoint_every_epochs=every_epochs),
    )


def due_after(run_plan: RunPlan) -> list[int]:
    """The steps after which epochs make a checkpoint due."""
    return [
        step
        for step in range(1, run_plan.num_steps + 1)
        if run_plan.num_checkpoints_by_epoch(step) > run_plan.num_checkpoints_by_epoch(step - 1)
    ]


def test_checkpoint_is_due_at_the_end_of_every_nth_epoch() -> None:
    run_plan = stages(5 * STEPS_PER_EPOCH, every_epochs=2)
    assert due_after(run_plan) == [2 * STEPS_PER_EPOCH, 4 * STEPS_PER_EPOCH]


def test_epochs_are_counted_from_the_beginning_of_each_stage() -> None:
    run_plan = stages(STEPS_PER_EPOCH + 1, 2 * STEPS_PER_EPOCH, every_epochs=1)
    begin = STEPS_PER_EPOCH + 1
    assert due_after(run_plan) == [
        STEPS_PER_EPOCH,
        begin + STEPS_PER_EPOCH,
        begin + 2 * STEPS_PER_EPOCH,
    ]


def test_no_checkpoint_is_due_by_epoch_unless_asked_for() -> None:
    assert due_after(stages(5 * STEPS_PER_EPOCH, every_epochs=None)) == []


def test_steps_of_runs_before_count_as_none() -> None:
    assert stages(STEPS_PER_EPOCH, every_epochs=1).num_checkpoints_by_epoch(-100) == 0
