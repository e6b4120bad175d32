"""The stages of a run: names from its method, length and optimizer from `training`. No torch.

A run is a list of stages that follow each other on one network. Epochs and data order go on from
stage to stage; each stage has a new optimizer and its own schedule.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kdcore.spec.base import problem
from kdcore.spec.training import (
    OptimizerSpec,
    ScheduleSpec,
    StageSpec,
    StepSchedule,
    TrainingSpec,
)

SINGLE_STAGE = ("training",)

# Without a word from the spec, each stage before the last takes this share of its epochs.
_EARLIER_STAGE_SHARE = 3


@dataclass(frozen=True)
class PlannedStage:
    """One stage with everything filled in; its length is in epochs or in steps, never both."""

    name: str
    num_epochs: int | None
    num_steps: int | None
    optimizer: OptimizerSpec
    schedule: ScheduleSpec

    def steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps of this stage."""
        return self.num_steps or (self.num_epochs or 0) * steps_per_epoch


def plan_stages(
    names: tuple[str, ...],
    training: TrainingSpec,
    *,
    optimizers: Mapping[str, OptimizerSpec] | None = None,
) -> tuple[PlannedStage, ...]:
    """Fill in every stage of a method with stages `names`, the last being the main one.

    Left to itself the last stage has the length, optimizer and schedule of `training`, and each
    stage before it a third of that length, at least one epoch.

    Args:
        names: Of the stages, in order.
        training: Its `stages` override everything else.
        optimizers: The method's own, by stage, instead of that of `training`.
    """
    overrides = {stage.stage: stage for stage in training.stages}
    own = optimizers or {}
    return tuple(
        _planned(
            name,
            overrides.get(name, StageSpec(stage=name)),
            training,
            optimizer=own.get(name, training.optimizer),
            is_last=name == names[-1],
        )
        for name in names
    )


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Count the batches of an epoch: a last one of a single image goes with the one before."""
    full, left_over = divmod(num_examples, batch_size)
    return full if full and left_over <= 1 else full + 1


def check_stages(names: tuple[str, ...], training: TrainingSpec) -> None:
    """Refuse overrides of stages that the method does not have, and stages that never warm up.

    Raises:
        PydanticCustomError: `unknown_stage`, naming the ones it has, or `warmup_too_long`.
    """
    _check_names(names, training)
    for planned in plan_stages(names, training):
        warmup_epochs = planned.schedule.warmup_epochs
        if planned.num_epochs is not None and warmup_epochs > planned.num_epochs:
            raise problem(
                "warmup_too_long",
                f"The stage {planned.name} has {planned.num_epochs} epochs and its warmup_epochs "
                f"are {warmup_epochs:g}. Lower them, or give the stage in training.stages a "
                "schedule or a num_epochs of its own.",
                field=_warmup_field(planned.name, training),
            )


def _warmup_field(name: str, training: TrainingSpec) -> str:
    """Name the field that gives a stage its warm-up."""
    for index, stage in enumerate(training.stages):
        if stage.stage == name and stage.schedule is not None:
            return f"training/stages/{index}/schedule/warmup_epochs"
    return "training/schedule/warmup_epochs"


def _check_names(names: tuple[str, ...], training: TrainingSpec) -> None:
    for index, stage in enumerate(training.stages):
        if stage.stage not in names:
            raise problem(
                "unknown_stage",
                f"There is no stage {stage.stage!r} here; the stages are {', '.join(names)}.",
                field=f"training/stages/{index}/stage",
            )


def plan_control(stages: tuple[PlannedStage, ...], steps_per_epoch: int) -> PlannedStage:
    """Give the control the budget of all `stages` together, under the last one's recipe.

    So a method with an earlier stage is compared with as many steps on labels alone. Milestones
    move in proportion; warm-up stays as long as it is.
    """
    main = stages[-1]
    if len(stages) == 1:
        return main
    total = sum(stage.steps(steps_per_epoch) for stage in stages)
    schedule = main.schedule
    if isinstance(schedule, StepSchedule):
        stretch = total / main.steps(steps_per_epoch)
        unit = steps_per_epoch if schedule.unit == "epochs" else 1
        moved = sorted({math.ceil(m * unit * stretch) for m in schedule.milestones})
        schedule = schedule.model_copy(update={"milestones": tuple(moved), "unit": "steps"})
    return replace(main, num_epochs=None, num_steps=total, schedule=schedule)


def _planned(
    name: str,
    override: StageSpec,
    training: TrainingSpec,
    *,
    optimizer: OptimizerSpec,
    is_last: bool,
) -> PlannedStage:
    share = 1 if is_last else _EARLIER_STAGE_SHARE
    num_epochs: int | None = max(1, training.num_epochs // share)
    num_steps = None
    if override.num_epochs is not None or override.num_steps is not None:
        num_epochs, num_steps = override.num_epochs, override.num_steps
    return PlannedStage(
        name,
        num_epochs,
        num_steps,
        optimizer=override.optimizer or optimizer,
        schedule=override.schedule or training.schedule,
    )
