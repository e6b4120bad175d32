"""All runs of a job, one after the other, saved and resumed as one state."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from kdcore.devices import Compute
from kdcore.distributed import ALONE, World
from kdcore.errors import IncompatibleInputs, Interrupted, TimeLimitReached
from kdcore.models import load_weights
from kdcore.progress import LogLine, Reporter, Resumed
from kdcore.report import Run
from kdcore.trainer.checkpointing import Checkpointing
from kdcore.trainer.checkpoints import CheckpointFolder, CheckpointHeader, JobState, Tensors
from kdcore.trainer.history import History
from kdcore.trainer.loop import TrainingLoop, Watch
from kdcore.trainer.optimizers import optimizer_tensors, restore_optimizer
from kdcore.trainer.plans import RunPlan
from kdcore.trainer.recorder import Recorder

# The log travels in every checkpoint, so it is bounded.
_KEPT_LOG_LINES = 2000


@dataclass(frozen=True)
class JobControls:
    """How a job is steered and watched from outside."""

    report: Reporter
    should_stop: Callable[[], bool]
    max_seconds: float
    checkpoint_every_seconds: float


@dataclass
class JobTrainer:
    """Trains the runs of a job in order; what is finished or half done comes from `resumed`."""

    runs: Sequence[Run]
    make_plan: Callable[[Run, Mapping[Run, Tensors]], RunPlan]
    """Makes a run's plan from the weights of the runs before it."""
    evaluate: Callable[[RunPlan], dict[str, float]]
    digest: str
    compute: Compute
    folder: CheckpointFolder
    controls: JobControls
    world: World = ALONE
    """Only its rank 0 writes checkpoints; the others see the same folder."""
    resumed: JobState | None = None
    finished: dict[Run, Tensors] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take over a resumed state, or begin with an empty one."""
        state = self.resumed
        if state is not None and state.header.job_digest != self.digest:
            raise IncompatibleInputs(
                "checkpoint_of_another_job",
                "The folder holds the checkpoint of a job with another spec, dataset or teacher. "
                "Use an empty folder.",
            )
        self.recorder = Recorder(state.history if state else History(), self.controls.report)
        self._started = time.monotonic()
        self._trained_before = state.header.trained_seconds if state else 0.0
        if state is not None:
            self.finished = dict(state.finished)
            self.log = list(state.header.log)
            self._tell_resumed(state.header)

    @property
    def trained_seconds(self) -> float:
        """Seconds spent on this job so far, earlier attempts included."""
        return self._trained_before + time.monotonic() - self._started

    def say(self, message: str) -> None:
        """Add a line to the training log."""
        self.log = [*self.log, message][-_KEPT_LOG_LINES:]
        self.controls.report(LogLine(message=message))

    def log_lines(self) -> list[str]:
        """The training log so far, earlier attempts included."""
        return list(self.log)

    def train(self) -> dict[Run, Tensors]:
        """Train what is not finished yet; give the weights of every run by name.

        Every checkpoint that was begun is written, or has failed, when this returns or raises.

        Raises:
            Interrupted, TimeLimitReached: after a checkpoint.
            Diverged: when a loss is not finite.
            OSError: a checkpoint could not be written.
        """
        try:
            self._train_runs()
        except (Interrupted, TimeLimitReached):  # every process stops at the same step
            self.world.wait_for_first()
            raise
        # Rank 0 alone writes; who goes on without it might read, and clear away, what is half done.
        self.world.wait_for_first()
        return self.finished

    def _train_runs(self) -> None:
        resumed = self.resumed
        with Checkpointing(
            self.folder,
            every_seconds=self.controls.checkpoint_every_seconds,
            report=self.controls.report,
            device=self.compute.device,
            kept_total_steps=resumed.header.total_steps if resumed else 0,
        ) as checkpointing:
            for run in self.runs:
                if run not in self.finished:
                    self._train_run(run, checkpointing)

    def _train_run(self, run: Run, checkpointing: Checkpointing) -> None:
        plan = self.make_plan(run, self.finished)
        loop = TrainingLoop(plan, compute=self.compute, recorder=self.recorder, world=self.world)
        if self.resumed is not None and self.resumed.header.run == run:
            _restore(loop, self.resumed)
        self.say(
            f"{run}: {_lengths(plan)} of {plan.training.batch_size} images on "
            f"{self._devices()} in {self.compute.precision}, {plan.view.whereabouts}"
        )
        watch = Watch(
            report=self.controls.report,
            should_stop=self.controls.should_stop,
            tell_written=lambda: checkpointing.tell_written(wait=False),
            is_checkpoint_due=lambda: checkpointing.is_due(plan, loop.step),
            save=lambda _: self._save(loop, checkpointing, is_finished=False),
            time_left_seconds=lambda: self.controls.max_seconds - self.trained_seconds,
        )
        loop.train(watch, lambda: self._evaluate(loop))
        self.finished[run] = _copy_of(loop.network)
        for name, companion in loop.objective.companions().items():
            self.finished[name] = _copy_of(companion.network)
        self._save(loop, checkpointing, is_finished=True)

    def _devices(self) -> str:
        device = self.compute.device
        return (
            str(device) if self.world.is_alone else f"{self.world.size} processes ({device.type})"
        )

    def _evaluate(self, loop: TrainingLoop) -> dict[str, float]:
        metrics = self.evaluate(loop.plan)
        epoch = loop.step // loop.plan.view.steps_per_epoch
        loss = self.recorder.newest(loop.plan.run, "loss")
        readings = {**({} if loss is None else {"loss": loss}), **metrics}
        text = ", ".join(f"{name} {value:.4f}" for name, value in readings.items())
        self.say(f"{loop.plan.run}: epoch {epoch}/{loop.plan.num_epochs}: {text}")
        return metrics

    def _save(self, loop: TrainingLoop, checkpointing: Checkpointing, *, is_finished: bool) -> None:
        total_steps = loop.plan.steps_before + loop.step
        if checkpointing.has_kept(total_steps):
            return
        window = ({}, 0) if is_finished else loop.window.state()
        if self.world.rank:
            checkpointing.pass_over(total_steps)
            return
        state = self._state_of(loop, window, is_finished=is_finished)
        checkpointing.keep(state, training_stage=loop.stage.name)

    def _state_of(
        self, loop: TrainingLoop, window: tuple[Tensors, int], *, is_finished: bool
    ) -> JobState:
        sums, count = window
        header = CheckpointHeader(
            job_digest=self.digest,
            run=loop.plan.run,
            stage_index=loop.stage_index,
            training_stage=loop.stage.name,
            step=loop.step,
            total_steps=loop.plan.steps_before + loop.step,
            num_threads=self.compute.num_threads,
            trained_seconds=self.trained_seconds,
            window_count=count,
            history_order=self.recorder.history.names(),
            finished_runs=list(self.finished),
            log=self.log,
        )
        return JobState(
            header=header,
            network={} if is_finished else dict(loop.network.state_dict()),
            optimizer={} if is_finished else optimizer_tensors(loop.optimizer),
            objective={} if is_finished else dict(loop.objective.state_dict()),
            window=sums,
            finished=self.finished,
            history=self.recorder.history,
        )

    def _tell_resumed(self, header: CheckpointHeader) -> None:
        self.controls.report(
            Resumed(
                run=header.run,
                training_stage=header.training_stage,
                step=header.step,
                total_steps=header.total_steps,
            )
        )
        within = f" of stage {header.training_stage}" if header.training_stage else ""
        self.say(f"resumed {header.run} at step {header.step}{within}")


def _lengths(plan: RunPlan) -> str:
    """Say how many steps a run has and, of several stages, each of them."""
    if len(plan.stages) == 1:
        return f"{plan.num_steps} steps"
    each = ", ".join(f"{stage.name} {stage.num_steps}" for stage in plan.stages)
    return f"{plan.num_steps} steps ({each})"


def _copy_of(network: nn.Module) -> Tensors:
    """Copy the weights to host memory, where nothing changes them: every checkpoint has them."""
    return {
        name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()
    }


def _restore(loop: TrainingLoop, state: JobState) -> None:
    """Put a loop where its checkpoint left it."""
    loop.enter_stage(state.header.stage_index)
    load_weights(loop.network, state.network)
    loop.objective.load_state_dict(state.objective)
    if state.optimizer:
        restore_optimizer(loop.optimizer, state.optimizer)
    loop.window.restore(state.window, state.header.window_count)
    loop.step = state.header.step
