"""The training loop of one run: steps, readings, checkpoints, and nothing that waits inside."""

# B batch, C channels (images) or classes (logits), H height, W width

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from kdcore.data import Batch
from kdcore.devices import Compute
from kdcore.errors import Interrupted, TimeLimitReached
from kdcore.features import Observation, Tapped
from kdcore.methods import Labels, LossTerms, Objective, Step
from kdcore.progress import Reporter, StageStarted
from kdcore.seeds import derive_seed
from kdcore.trainer.batch_statistics import refuse_single_values
from kdcore.trainer.divergence import diverged
from kdcore.trainer.loss_window import LossWindow
from kdcore.trainer.optimizers import build_optimizer, set_learning_rate
from kdcore.trainer.pace import Pace
from kdcore.trainer.plans import RunPlan, StagePlan
from kdcore.trainer.recorder import Recorder
from kdcore.trainer.schedules import learning_rate_at


@dataclass(frozen=True)
class Watch:
    """How a run is watched from outside while it trains."""

    report: Reporter
    should_stop: Callable[[], bool]
    save: Callable[["TrainingLoop"], None]
    """Writes a checkpoint of the whole job, this loop included."""
    is_checkpoint_due: Callable[[], bool]
    """Asked after every step."""
    time_left_seconds: Callable[[], float]


class TrainingLoop:
    """Trains one network from its current step to its last, stage by stage."""

    objective: Objective
    optimizer: torch.optim.Optimizer

    def __init__(self, plan: RunPlan, *, compute: Compute, recorder: Recorder) -> None:
        self.plan = plan
        self.compute = compute
        self.recorder = recorder
        self.step = 0
        self.network: nn.Module = plan.classifier.network
        self.window = LossWindow(compute.device)
        self.enter_stage(0)

    @property
    def stage(self) -> StagePlan:
        """The stage that is being trained."""
        return self.plan.stages[self.stage_index]

    def enter_stage(self, index: int) -> None:
        """Begin a stage: its own objective, and an optimizer that remembers nothing."""
        self.stage_index = index
        stage = self.stage
        self.objective = stage.objective.to(self.compute.device)
        self._student = Tapped(
            self.plan.classifier,
            self.objective.student_layers,
            to_end=self.objective.needs_student_logits,
        )
        self._trained = [*self.network.parameters(), *self.objective.parameters()]
        self.optimizer = build_optimizer(stage.optimizer, self._trained)

    def train(self, watch: Watch, evaluate: Callable[[], dict[str, float]]) -> None:
        """Run the remaining steps; `evaluate` gives the metrics of the network as it stands.

        Raises:
            Interrupted: after a checkpoint, when `watch.should_stop()` says so.
            TimeLimitReached: after a checkpoint, when the job's time is used up.
            Diverged: when a reading of the loss is not finite.
            IncompatibleInputs: batches are of one image, and BatchNorm needs more.
        """
        plan = self.plan
        pace = Pace(plan, self.recorder, watch.report)
        self._set_training()
        if plan.view.smallest_batch == 1:
            refuse_single_values([self.network, *(stage.objective for stage in plan.stages)])
        self._tell_stage(watch.report)
        while self.step < plan.num_steps:
            if self.step == self.stage.end_step:
                self.enter_stage(self.stage_index + 1)
                self._set_training()
                self._tell_stage(watch.report)
            self._stop_if_asked(watch)
            epoch, step_in_epoch = divmod(self.step, plan.view.steps_per_epoch)
            batch = plan.view.batch(epoch, step_in_epoch)
            losses = self._take_step(batch)
            self.window.add({"loss": losses.total, **losses.terms})
            self.step += 1
            pace.count(len(batch.images_BCHW))
            ended_epoch = step_in_epoch + 1 == plan.view.steps_per_epoch
            if self._is_reading_due():
                self._read_losses(wait=False)
            if self._is_evaluation_due(epoch + 1, ended_epoch=ended_epoch):
                self._evaluate(evaluate)
            # The end of a run is saved by the job, with the run among its finished ones.
            if self.step < plan.num_steps and watch.is_checkpoint_due():
                self.save(watch)
            pace.report_if_due(self.step, self.stage.name)
        self._record_landed(wait=True)
        pace.report_now(self.step, self.stage.name)

    def save(self, watch: Watch) -> None:
        """Record every reading so far, then write a checkpoint. A diverged state is never kept."""
        self._record_landed(wait=True)
        sums, _ = self.window.state()
        if sums and not all(math.isfinite(float(value)) for value in sums.values()):
            raise diverged(self.plan, self.step)
        watch.save(self)

    def _take_step(self, batch: Batch) -> LossTerms:
        plan, stage = self.plan, self.stage
        # Dropout at step s draws from (seed, s) alone: a resumed run needs no generator state.
        torch.manual_seed(derive_seed(plan.training.seed, "step", self.step))
        set_learning_rate(
            self.optimizer,
            learning_rate_at(
                stage.schedule,
                base_rate=stage.optimizer.learning_rate,
                step=self.step - stage.first_step,
                num_steps=stage.num_steps,
                steps_per_epoch=plan.view.steps_per_epoch,
            ),
        )
        teacher = self._ask_teacher(batch)
        with self.compute.autocast():
            student: Observation = self._student(batch.images_BCHW)
            losses: LossTerms = self.objective(
                Step(
                    student=student,
                    teacher=teacher,
                    labels=self._labels(batch),
                    images_BCHW=batch.images_BCHW,
                    indices_B=batch.member_B,
                    epoch=self.step / plan.view.steps_per_epoch,
                )
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if plan.training.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, plan.training.gradient_clip_norm)
        self.optimizer.step()
        return losses

    def _labels(self, batch: Batch) -> Labels | None:
        if not self.objective.needs_labels:
            return None
        return Labels(batch.labels_B, batch.other_B, batch.share_B)

    def _ask_teacher(self, batch: Batch) -> Observation | None:
        if self.plan.teacher is None or not self.objective.needs_teacher:
            return None
        return self.plan.teacher.observe(
            batch.images_BCHW,
            self.objective.teacher_layers,
            to_end=self.objective.needs_teacher_logits,
        )

    def _set_training(self) -> None:
        self.network.train()
        self.objective.train()

    def _tell_stage(self, report: Reporter) -> None:
        report(
            StageStarted(
                stage="control" if self.plan.run == "control" else "training",
                run=self.plan.run,
                training_stage=self.stage.name,
                step=self.step,
            )
        )

    def _stop_if_asked(self, watch: Watch) -> None:
        if watch.should_stop():
            self.save(watch)
            raise Interrupted("Asked to stop; a checkpoint was written.", step=self.step)
        if watch.time_left_seconds() <= 0:
            self.save(watch)
            raise TimeLimitReached(
                "The job used up limits.max_seconds; raise it and retry to go on from here.",
                step=self.step,
            )

    def _read_losses(self, *, wait: bool) -> None:
        self.window.close(self.step)
        self._record_landed(wait=wait)

    def _record_landed(self, *, wait: bool) -> None:
        for reading in self.window.readings(wait=wait):
            if not all(math.isfinite(value) for value in reading.means.values()):
                raise diverged(self.plan, reading.step)
            self.recorder.add(self.plan.run, reading.step, reading.means)

    def _is_reading_due(self) -> bool:
        # A window never spans two stages: their losses are not of one kind.
        return self.step % self.plan.steps_between_readings == 0 or self.step == self.stage.end_step

    def _is_evaluation_due(self, epochs: int, *, ended_epoch: bool) -> bool:
        if self.step == self.plan.num_steps:
            return True
        # A stage that does not reach the logits has not begun to teach them.
        reads_logits = self.objective.needs_student_logits
        return ended_epoch and reads_logits and epochs % self.plan.evaluate_every_epochs == 0

    def _evaluate(self, evaluate: Callable[[], dict[str, float]]) -> None:
        self._record_landed(wait=True)
        self.recorder.add(self.plan.run, self.step, evaluate())
        self._set_training()
