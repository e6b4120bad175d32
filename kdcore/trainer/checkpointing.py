"""When the state of a job is kept, and how: copied between two steps, written behind them."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import torch

from kdcore.progress import CheckpointSaved, Reporter
from kdcore.trainer.checkpoint_writer import CheckpointWriter
from kdcore.trainer.checkpoints import CheckpointFolder, JobState, SavedCheckpoint
from kdcore.trainer.plans import RunPlan
from kdcore.trainer.snapshots import Staging


class Checkpointing:
    """Keeps states of one job, each at most once; one is written at a time.

    A checkpoint that falls due meanwhile is put off until the writer is free, and is then of the
    state at that step. Leaving the context waits for the last one.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        *,
        every_seconds: float,
        report: Reporter,
        device: torch.device,
        kept_total_steps: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin where the job goes on from: `kept_total_steps` is of the state that it resumed."""
        self._every_seconds = every_seconds
        self._report = report
        self._writer = CheckpointWriter(folder)
        self._staging = Staging(device)
        self._kept_total_steps = kept_total_steps
        self._clock = clock
        self._last_kept = clock()
        self._training_stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.tell_written(wait=True)
        finally:
            self._writer.close()

    def is_due(self, plan: RunPlan, step: int) -> bool:
        """Tell whether a state is to be kept after this step of a run, and can be now."""
        return not self._writer.is_busy and (
            self._clock() - self._last_kept >= self._every_seconds
            or plan.num_checkpoints_by_epoch(step)
            > plan.num_checkpoints_by_epoch(self._kept_total_steps - plan.steps_before)
        )

    def has_kept(self, total_steps: int) -> bool:
        """Tell whether the state after so many steps of the job is the newest that is kept."""
        return total_steps == self._kept_total_steps

    def keep(self, state: JobState, *, training_stage: str) -> None:
        """Copy a state and begin to write it, after what is being written.

        Raises:
            OSError: the checkpoint before could not be written.
        """
        self.tell_written(wait=True)
        self._writer.start(self._staging.snapshot(state))
        self._training_stage = training_stage
        self.pass_over(state.header.total_steps)

    def pass_over(self, total_steps: int) -> None:
        """Take the state after so many steps as kept: another process keeps it."""
        self._kept_total_steps = total_steps
        self._last_kept = self._clock()

    def tell_written(self, *, wait: bool) -> None:
        """Report the checkpoint that was being written, once it is whole.

        Raises:
            OSError: it could not be written.
        """
        saved = self._writer.collect(wait=wait)
        if saved is not None:
            self._report(self._event_of(saved))

    def _event_of(self, saved: SavedCheckpoint) -> CheckpointSaved:
        header = saved.header
        return CheckpointSaved(
            path=str(saved.path),
            sha256=saved.sha256,
            size_bytes=saved.size_bytes,
            run=header.run,
            training_stage=self._training_stage,
            step=header.step,
            total_steps=header.total_steps,
        )
