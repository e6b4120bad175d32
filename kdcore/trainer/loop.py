"""The training loop of one run: steps, readings, checkpoints, and nothing that waits inside."""

# B batch, C channels (images) or classes (logits), H height, W width

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import nn

from kdcore.data import Batch
from kdcore.devices import Compute, seed_draws
from kdcore.distributed import ALONE, World
from kdcore.errors import Interrupted, TimeLimitReached
from kdcore.features import Observation, Tapped
from kdcore.methods import LossTerms, Objective
from kdcore.methods.shared_step import SharedBatch
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
from kdcore.trainer.shared_pass import ForwardPass, backward, shared_pass


@dataclass(frozen=True)
class Watch:
    """How a run is watched from outside while it trains."""

    report: Reporter
    should_stop: Callable[[], bool]
    tell_written: Callable[[], None]
    """Asked before every step to report a checkpoint that is whole by now, or raise why not."""
    is_checkpoint_due: Callable[[], bool]
    """Asked before every step."""
    save: Callable[["TrainingLoop"], None]
    """Copies the state of the whole job, this loop included, and begins to write it."""
    time_left_seconds: Callable[[], float]


class Decision(IntEnum):
    """What comes next, the same in every process of a world."""

    GO_ON = 0
    SAVE = 1
    STOP = 2
    END_FOR_TIME = 3


class TrainingLoop:
    """Trains one network from its current step to its last, stage by stage."""

    objective: Objective
    optimizer: torch.optim.Optimizer

    def __init__(
        self, plan: RunPlan, *, compute: Compute, recorder: Recorder, world: World = ALONE
    ) -> None:
        self.plan = plan
        self.compute = compute
        self.recorder = recorder
        self.world = world
        self.step = 0
        self.network: nn.Module = plan.classifier.network
        self.window = LossWindow(compute.device, world)
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
        student = Tapped(
            self.plan.classifier,
            self.objective.student_layers,
            to_end=self.objective.needs_student_logits,
        )
        self._forward = ForwardPass(student, self.objective, self.compute)
        # The one of the stage before must be gone first: it listens to the same parameters.
        self._pass: nn.Module = self._forward
        self._pass = shared_pass(self._forward, self.world)
        self._trained = [*self.network.parameters(), *self.objective.parameters()]
        self.optimizer = build_optimizer(stage.optimizer, self._trained)

    def train(self, watch: Watch, evaluate: Callable[[], dict[str, float]]) -> None:
        """Run the remaining steps; `evaluate` gives the metrics of the network as it stands.

        Raises:
            Interrupted: after `watch.save`, when `watch.should_stop()` says so.
            TimeLimitReached: after `watch.save`, when the job's time is used up.
            Diverged: when a reading of the loss, or of the network, is not finite.
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
            self._stop_or_save_if_asked(watch)
            epoch, step_in_epoch = divmod(self.step, plan.view.steps_per_epoch)
            losses = self._take_step(epoch, step_in_epoch)
            self.window.add({"loss": losses.total, **losses.terms})
            self.step += 1
            pace.count(plan.view.num_images(step_in_epoch))
            ended_epoch = step_in_epoch + 1 == plan.view.steps_per_epoch
            if self._is_reading_due():
                self._read_losses(wait=False)
            if self._is_evaluation_due(epoch + 1, ended_epoch=ended_epoch):
                self._evaluate(evaluate)
            pace.report_if_due(self.step, self.stage.name)
        self._record_landed(wait=True)
        pace.report_now(self.step, self.stage.name)

    def save(self, watch: Watch) -> None:
        """Record every reading so far, then begin a checkpoint. A diverged state is never kept."""
        self._record_landed(wait=True)
        sums, _ = self.window.state()
        if not all(bool(value.isfinite().all()) for value in sums.values()):
            raise diverged(self.plan, self.step)
        watch.save(self)

    def _take_step(self, epoch: int, step_in_epoch: int) -> LossTerms:
        plan, stage = self.plan, self.stage
        batch, shared = self._batch(epoch, step_in_epoch)
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
        losses: LossTerms = self._pass(
            batch, teacher, epoch=self.step / plan.view.steps_per_epoch, shared=shared
        )
        self.optimizer.zero_grad(set_to_none=True)
        backward(losses, self.world)
        if plan.training.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, plan.training.gradient_clip_norm)
        self.optimizer.step()
        return losses

    def _batch(self, epoch: int, step_in_epoch: int) -> tuple[Batch, SharedBatch | None]:
        """Make what this process takes of a step's batch, and seed what the step draws."""
        view, seed = self.plan.view, self.plan.training.seed
        # Dropout at step s draws from (seed, s) alone: a resumed run needs no generator state.
        common = derive_seed(seed, "step", self.step)
        rank = self.world.rank
        own = derive_seed(seed, "step", self.step, rank) if rank else common
        seed_draws(own, self.compute.device)
        if self.world.is_alone:
            return view.batch(epoch, step_in_epoch), None
        part = self.world.part_of(view.num_images(step_in_epoch))
        batch = view.batch(epoch, step_in_epoch, rows=part.rows)
        return batch, SharedBatch(part, self.world, common)

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

    def _stop_or_save_if_asked(self, watch: Watch) -> None:
        watch.tell_written()
        decision = self.world.agreed(_decide(watch))
        if decision == Decision.GO_ON:
            return
        self.save(watch)
        if decision == Decision.STOP:
            raise Interrupted("Asked to stop; a checkpoint was written.", step=self.step)
        if decision == Decision.END_FOR_TIME:
            raise TimeLimitReached(
                "The job used up limits.max_seconds. Retry it with more to go on from here.",
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
        readings = evaluate()
        if not all(map(math.isfinite, readings.values())):
            raise diverged(self.plan, self.step)
        self.recorder.add(self.plan.run, self.step, readings)
        self._set_training()


def _decide(watch: Watch) -> Decision:
    if watch.should_stop():
        return Decision.STOP
    if watch.time_left_seconds() <= 0:
        return Decision.END_FOR_TIME
    return Decision.SAVE if watch.is_checkpoint_due() else Decision.GO_ON
