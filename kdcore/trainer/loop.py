"""The training loop of one run: steps, readings, checkpoints, and nothing that waits inside."""

# B batch, C channels (images) or classes (logits), H height, W width

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from kdcore.data import Batch, TrainView
from kdcore.devices import Compute
from kdcore.errors import Diverged, Interrupted, TimeLimitReached
from kdcore.methods import LossTerms, Objective
from kdcore.models import Classifier
from kdcore.progress import Reporter
from kdcore.report import Run
from kdcore.seeds import derive_seed
from kdcore.spec import TrainingSpec
from kdcore.teacher import Teacher
from kdcore.trainer.loss_window import LossWindow
from kdcore.trainer.optimizers import build_optimizer, set_learning_rate
from kdcore.trainer.pace import Pace
from kdcore.trainer.recorder import Recorder
from kdcore.trainer.schedules import learning_rate_at

# A curve has about this many points, however long the run.
_READINGS_PER_RUN = 1000
_STEPS_BETWEEN_READINGS = 10


@dataclass(frozen=True)
class RunPlan:
    """What one run trains: fixed before its first step."""

    run: Run
    run_index: int
    num_runs: int
    classifier: Classifier
    objective: Objective
    teacher: Teacher | None
    view: TrainView
    training: TrainingSpec
    evaluate_every_epochs: int

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.training.num_epochs * self.view.steps_per_epoch

    @property
    def steps_between_readings(self) -> int:
        """Steps whose mean loss is one point of the curve; depends on the spec alone."""
        return max(_STEPS_BETWEEN_READINGS, self.num_steps // _READINGS_PER_RUN)


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
    """Trains one network from its current step to its last."""

    def __init__(self, plan: RunPlan, *, compute: Compute, recorder: Recorder) -> None:
        self.plan = plan
        self.compute = compute
        self.recorder = recorder
        self.step = 0
        self.network: nn.Module = plan.classifier.network
        self.optimizer = build_optimizer(plan.training.optimizer, self.network.parameters())
        self.window = LossWindow(compute.device)

    def train(self, watch: Watch, evaluate: Callable[[], dict[str, float]]) -> None:
        """Run the remaining steps; `evaluate` gives the metrics of the network as it stands.

        Raises:
            Interrupted: after a checkpoint, when `watch.should_stop()` says so.
            TimeLimitReached: after a checkpoint, when the job's time is used up.
            Diverged: when a reading of the loss is not finite.
        """
        plan = self.plan
        pace = Pace(plan, self.recorder, watch.report)
        self.network.train()
        while self.step < plan.num_steps:
            self._stop_if_asked(watch)
            epoch, step_in_epoch = divmod(self.step, plan.view.steps_per_epoch)
            batch = plan.view.batch(epoch, step_in_epoch)
            losses = self._take_step(batch)
            self.window.add({"loss": losses.total, **losses.terms})
            self.step += 1
            pace.count(len(batch.images_BCHW))
            ended_epoch = step_in_epoch + 1 == plan.view.steps_per_epoch
            if self.step % plan.steps_between_readings == 0 or self.step == plan.num_steps:
                self._read_losses(wait=False)
            if ended_epoch and self._is_evaluation_due(epoch + 1):
                self._evaluate(evaluate)
            # The end of a run is saved by the job, with the run among its finished ones.
            if self.step < plan.num_steps and watch.is_checkpoint_due():
                self.save(watch)
            pace.report_if_due(self.step)
        self._record_landed(wait=True)
        pace.report_now(self.step)

    def save(self, watch: Watch) -> None:
        """Record every reading so far, then write a checkpoint. A diverged state is never kept."""
        self._record_landed(wait=True)
        sums, _ = self.window.state()
        if sums and not all(math.isfinite(float(value)) for value in sums.values()):
            self._raise_diverged(self.step)
        watch.save(self)

    def _take_step(self, batch: Batch) -> LossTerms:
        plan, training = self.plan, self.plan.training
        # Dropout at step s draws from (seed, s) alone: a resumed run needs no generator state.
        torch.manual_seed(derive_seed(training.seed, "step", self.step))
        set_learning_rate(
            self.optimizer,
            learning_rate_at(
                training.schedule,
                base_rate=training.optimizer.learning_rate,
                step=self.step,
                num_steps=plan.num_steps,
                steps_per_epoch=plan.view.steps_per_epoch,
            ),
        )
        teacher_logits_BC = None
        if plan.teacher is not None and plan.objective.needs_teacher:
            teacher_logits_BC = plan.teacher(batch.images_BCHW)
        with self.compute.autocast():
            logits_BC = plan.classifier(batch.images_BCHW)
        losses = plan.objective(logits_BC, batch.labels_B, teacher_logits_BC)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if training.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), training.gradient_clip_norm)
        self.optimizer.step()
        return losses

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
                self._raise_diverged(reading.step)
            self.recorder.add(self.plan.run, reading.step, reading.means)

    def _raise_diverged(self, step: int) -> None:
        raise Diverged(
            "The loss is no longer a finite number. Lower training.optimizer.learning_rate, add "
            "warmup_epochs, or set training.gradient_clip_norm.",
            step=step,
        )

    def _is_evaluation_due(self, finished_epochs: int) -> bool:
        is_last = finished_epochs == self.plan.training.num_epochs
        return is_last or finished_epochs % self.plan.evaluate_every_epochs == 0

    def _evaluate(self, evaluate: Callable[[], dict[str, float]]) -> None:
        self._record_landed(wait=True)
        self.recorder.add(self.plan.run, self.step, evaluate())
        self.network.train()
