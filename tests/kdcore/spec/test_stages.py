"""Which stages a run has, how long each is, and what the control gets."""

from typing import Any

import pytest

from kdcore.errors import SpecInvalid
from kdcore.spec import Adam, CosineSchedule, Sgd, StepSchedule, TrainingSpec, parse_job
from kdcore.spec.stages import plan_control, plan_stages, steps_per_epoch
from kdcore.spec.training import StageSpec

TWO = ("hint", "training")
STEPS_PER_EPOCH = 10


def lengths(training: TrainingSpec, names: tuple[str, ...] = TWO) -> list[int]:
    return [stage.steps(STEPS_PER_EPOCH) for stage in plan_stages(names, training)]


class TestPlanStages:
    def test_single_stage_is_the_training_itself(self) -> None:
        training = TrainingSpec(num_epochs=7, optimizer=Sgd(learning_rate=0.3))

        (stage,) = plan_stages(("training",), training)

        assert stage.name == "training"
        assert stage.steps(STEPS_PER_EPOCH) == 70
        assert (stage.optimizer, stage.schedule) == (training.optimizer, training.schedule)

    def test_earlier_stage_takes_a_third_of_the_epochs(self) -> None:
        assert lengths(TrainingSpec(num_epochs=12)) == [40, 120]

    def test_earlier_stage_takes_at_least_one_epoch(self) -> None:
        assert lengths(TrainingSpec(num_epochs=2)) == [10, 20]

    def test_length_in_steps_overrides_epochs(self) -> None:
        training = TrainingSpec(num_epochs=12, stages=(StageSpec(stage="hint", num_steps=33),))

        assert lengths(training) == [33, 120]

    def test_length_in_epochs_overrides_the_main_stage_too(self) -> None:
        training = TrainingSpec(num_epochs=12, stages=(StageSpec(stage="training", num_epochs=2),))

        assert lengths(training) == [40, 20]

    def test_optimizer_and_schedule_left_out_follow_the_training(self) -> None:
        override = StageSpec(stage="hint", optimizer=Adam(learning_rate=0.5))
        training = TrainingSpec(optimizer=Sgd(), stages=(override,))

        hint, main = plan_stages(TWO, training)

        assert hint.optimizer == Adam(learning_rate=0.5)
        assert hint.schedule == CosineSchedule()
        assert main.optimizer == Sgd()

    def test_methods_own_optimizer_goes_before_that_of_the_training(self) -> None:
        hint, main = plan_stages(TWO, TrainingSpec(optimizer=Sgd()), optimizers={"hint": Adam()})

        assert (hint.optimizer, main.optimizer) == (Adam(), Sgd())

    def test_optimizer_of_the_job_goes_before_the_methods_own(self) -> None:
        override = StageSpec(stage="hint", optimizer=Sgd(learning_rate=0.5))
        training = TrainingSpec(stages=(override, StageSpec(stage="training", num_epochs=3)))

        hint, _ = plan_stages(TWO, training, optimizers={"hint": Adam()})

        assert hint.optimizer == Sgd(learning_rate=0.5)


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "steps"),
    [(1, 8, 1), (7, 8, 1), (8, 8, 1), (9, 8, 1), (10, 8, 2), (17, 8, 2), (5, 1, 5), (5, 2, 2)],
)
def test_single_image_left_over_makes_no_batch_of_its_own(
    num_examples: int, batch_size: int, steps: int
) -> None:
    assert steps_per_epoch(num_examples, batch_size) == steps


class TestPlanControl:
    def test_single_stage_is_the_controls_too(self) -> None:
        stages = plan_stages(("training",), TrainingSpec())

        assert plan_control(stages, STEPS_PER_EPOCH) == stages[0]

    def test_control_gets_the_steps_of_all_stages(self) -> None:
        control = plan_control(plan_stages(TWO, TrainingSpec(num_epochs=12)), STEPS_PER_EPOCH)

        assert control.steps(STEPS_PER_EPOCH) == 160

    def test_milestones_move_in_proportion(self) -> None:
        training = TrainingSpec(num_epochs=12, schedule=StepSchedule(milestones=(6, 9)))

        control = plan_control(plan_stages(TWO, training), STEPS_PER_EPOCH)

        assert control.schedule == StepSchedule(milestones=(80, 120), unit="steps")

    def test_milestones_in_steps_move_in_proportion(self) -> None:
        schedule = StepSchedule(milestones=(60, 90), unit="steps")

        control = plan_control(
            plan_stages(TWO, TrainingSpec(num_epochs=12, schedule=schedule)), STEPS_PER_EPOCH
        )

        assert control.schedule == StepSchedule(milestones=(80, 120), unit="steps")


class TestOverrides:
    def test_unknown_stage_is_refused_with_the_known_ones(self) -> None:
        problem = problem_of({"stages": [{"stage": "hints"}]})

        assert (problem.pointer, problem.code) == ("/training/stages/0/stage", "unknown_stage")
        assert "the stages are training" in problem.message

    def test_two_lengths_are_refused(self) -> None:
        problem = problem_of({"stages": [{"stage": "training", "num_epochs": 1, "num_steps": 2}]})

        assert problem.pointer == "/training/stages/0/num_steps"
        assert problem.code == "two_lengths"

    def test_stage_named_twice_is_refused(self) -> None:
        problem = problem_of({"stages": [{"stage": "training"}, {"stage": "training"}]})

        assert (problem.pointer, problem.code) == ("/training/stages", "stage_twice")

    def test_stage_that_is_shorter_than_its_warmup_is_refused(self) -> None:
        slow = {"name": "cosine", "warmup_epochs": 2.5}
        stage = {"stage": "training", "num_epochs": 2, "schedule": slow}
        problem = problem_of({"stages": [stage]})

        assert problem.pointer == "/training/stages/0/schedule/warmup_epochs"
        assert problem.code == "warmup_too_long"
        assert "has 2 epochs and its warmup_epochs are 2.5" in problem.message

    def test_warmup_taken_from_the_training_fits_every_stage(self) -> None:
        """The first of two stages takes a third of the epochs, and the same warm-up."""
        schedule = {"name": "cosine", "warmup_epochs": 5}
        training = {"num_epochs": 9, "schedule": schedule}
        problem = problem_of(training, method={"name": "fitnet"})

        assert problem.pointer == "/training/schedule/warmup_epochs"
        assert "The stage hint has 3 epochs" in problem.message

    @pytest.mark.parametrize("kind", ["train", "distill"])
    def test_every_kind_of_job_checks_its_stages(self, kind: str) -> None:
        problem = problem_of({"stages": [{"stage": "fsp"}]}, kind=kind)

        assert problem.code == "unknown_stage"


def problem_of(
    training: dict[str, Any], *, kind: str = "distill", method: dict[str, Any] | None = None
) -> Any:
    network = {"architecture": "mlp", "hidden": [4]}
    wanted = (
        {"network": network}
        if kind == "train"
        else {
            "student": network,
            "teachers": [{"model": "mdl_1"}],
            "method": method or {"name": "logit_kd"},
        }
    )
    with pytest.raises(SpecInvalid) as caught:
        parse_job({"kind": kind, "dataset": "digits", "training": training, **wanted})
    (problem,) = caught.value.problems
    return problem
