"""What a run trains, stage by stage: fixed before its first step."""

from dataclasses import dataclass

from kdcore.data import TrainView
from kdcore.methods import Objective
from kdcore.models import Classifier
from kdcore.report import Run
from kdcore.spec import OptimizerSpec, ScheduleSpec, TrainingSpec
from kdcore.teacher import AnyTeacher

# A curve has about this many points, however long the run.
_READINGS_PER_RUN = 1000
_STEPS_BETWEEN_READINGS = 10


@dataclass(frozen=True)
class StagePlan:
    """One stage: what it minimises, how, and which of the run's steps are its."""

    name: str
    objective: Objective
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    first_step: int
    num_steps: int

    @property
    def end_step(self) -> int:
        """The run's step at which this stage is over."""
        return self.first_step + self.num_steps


@dataclass(frozen=True)
class RunPlan:
    """One run: a network, its stages, and its place among the runs of the job."""

    run: Run
    classifier: Classifier
    teacher: AnyTeacher | None
    view: TrainView
    training: TrainingSpec
    stages: tuple[StagePlan, ...]
    evaluate_every_epochs: int
    steps_before: int
    """Steps of the job's earlier runs."""
    job_steps: int
    """Steps of all the job's runs."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.stages[-1].end_step

    @property
    def num_epochs(self) -> int:
        """Epochs of the whole run; the last may be cut short."""
        return -(-self.num_steps // self.view.steps_per_epoch)

    @property
    def steps_between_readings(self) -> int:
        """Steps whose mean loss is one point of the curve; depends on the spec alone."""
        return max(_STEPS_BETWEEN_READINGS, self.num_steps // _READINGS_PER_RUN)

    def num_checkpoints_by_epoch(self, step: int) -> int:
        """Count the checkpoints that `training.checkpoint_every_epochs` asks for up to this step.

        Epochs are those of each stage, which need not begin with a pass over the data.
        """
        every_epochs = self.training.checkpoint_every_epochs
        if every_epochs is None:
            return 0
        every_steps = every_epochs * self.view.steps_per_epoch
        return sum(
            min(max(step - stage.first_step, 0), stage.num_steps) // every_steps
            for stage in self.stages
        )
