"""A diverged run says in which stage it was, and what helps there."""

from dataclasses import replace

import pytest

from kdcore.methods import CrossEntropy, Objective
from kdcore.spec import TrainingSpec
from kdcore.trainer import RunPlan
from kdcore.trainer.divergence import diverged
from tests.kdcore.trainer.run_plans import plan


def labels() -> Objective:
    return Objective([(1.0, CrossEntropy())])


def two_stages() -> RunPlan:
    return plan([(labels(), 4), (Objective([(1.0, CrossEntropy()), (2.0, CrossEntropy())]), 3)])


@pytest.mark.parametrize(("step", "stage"), [(1, 0), (4, 0), (5, 1), (7, 1)])
def test_stage_is_that_of_the_step(step: int, stage: int) -> None:
    error = diverged(two_stages(), step)

    assert (error.run, error.stage, error.step) == ("student", f"stage {stage}", step)
    assert f"training.stages ('stage {stage}'), 0.1 now" in error.message


def test_weights_are_named_where_there_are_several_terms() -> None:
    assert "weights in method" not in diverged(two_stages(), 1).message
    assert "weights in method" in diverged(two_stages(), 5).message


def test_run_of_one_stage_is_told_its_own_learning_rate() -> None:
    message = diverged(plan([(labels(), 4)]), 1).message

    assert "Lower training.optimizer.learning_rate, 0.1 now" in message
    assert "or set training.gradient_clip_norm" in message


def test_clipping_that_was_not_enough_is_to_be_lowered() -> None:
    clipped = replace(plan([(labels(), 4)]), training=TrainingSpec(gradient_clip_norm=10.0))

    assert "or lower training.gradient_clip_norm" in diverged(clipped, 1).message
