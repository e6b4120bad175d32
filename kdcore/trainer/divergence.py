"""What is said of a run whose loss is no longer finite: where it was, and what helps there."""

from kdcore.errors import Diverged
from kdcore.trainer.plans import RunPlan, StagePlan


def diverged(plan: RunPlan, step: int) -> Diverged:
    """Make the error of a run whose loss was not finite at optimizer step `step`, from 1."""
    stage = _stage_at(plan, step)
    return Diverged(_advice(plan, stage), run=plan.run, stage=stage.name, step=step)


def _stage_at(plan: RunPlan, step: int) -> StagePlan:
    # A reading lands after its step, when the next stage may have begun.
    return next(stage for stage in plan.stages if step <= stage.end_step)


def _advice(plan: RunPlan, stage: StagePlan) -> str:
    rate = "training.optimizer.learning_rate"
    if len(plan.stages) > 1:
        rate = f"the stage's optimizer.learning_rate in training.stages ({stage.name!r})"
    advice = [f"Lower {rate}, {stage.optimizer.learning_rate:g} now", "add warmup_epochs"]
    if len(stage.objective.weights) > 1:
        advice.append("lower the weights in method")
    verb = "set" if plan.training.gradient_clip_norm is None else "lower"
    return f"{', '.join(advice)}, or {verb} training.gradient_clip_norm."
