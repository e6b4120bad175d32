"""How fast a run goes and when the job will be done."""

import time
from typing import TYPE_CHECKING

from kdcore.progress import Progress, Reporter
from kdcore.trainer.recorder import Recorder

if TYPE_CHECKING:
    from kdcore.trainer.plans import RunPlan

_SECONDS_BETWEEN_REPORTS = 0.5
_SMOOTHING = 0.3


class Pace:
    """Counts images and reports progress about twice a second.

    The clock is read at every step, the device is never asked: on CUDA the queue is short
    enough that what was queued is soon what was done.
    """

    def __init__(self, plan: "RunPlan", recorder: Recorder, report: Reporter) -> None:
        self._plan = plan
        self._recorder = recorder
        self._report = report
        self._last_time = time.monotonic()
        self._images = 0
        self._images_per_second = 0.0

    def count(self, num_images: int) -> None:
        """Count the images of one step."""
        self._images += num_images

    def report_if_due(self, step: int, training_stage: str) -> None:
        """Report if the last report is half a second old."""
        if time.monotonic() - self._last_time >= _SECONDS_BETWEEN_REPORTS:
            self.report_now(step, training_stage)

    def report_now(self, step: int, training_stage: str) -> None:
        """Report speed since the last report (smoothed), and what remains at that speed."""
        now = time.monotonic()
        elapsed = now - self._last_time
        if self._images and elapsed > 0:
            newest = self._images / elapsed
            smoothed = self._images_per_second
            self._images_per_second = (
                newest if not smoothed else (_SMOOTHING * newest + (1 - _SMOOTHING) * smoothed)
            )
        self._last_time, self._images = now, 0
        self._report(self._progress(step, training_stage))

    def _progress(self, step: int, training_stage: str) -> Progress:
        plan = self._plan
        speed = self._images_per_second
        done = plan.steps_before + step
        # Later runs are counted at this run's speed; the control has no teacher and is faster.
        steps_left = plan.job_steps - done
        remaining = steps_left * plan.view.num_examples / plan.view.steps_per_epoch
        return Progress(
            run=plan.run,
            training_stage=training_stage,
            fraction=min(1.0, done / plan.job_steps),
            epoch=step // plan.view.steps_per_epoch,
            num_epochs=plan.num_epochs,
            step=step,
            num_steps=plan.num_steps,
            images_per_second=speed,
            eta_seconds=remaining / speed if speed else 0.0,
            loss=self._recorder.newest(plan.run, "loss"),
            accuracy=self._recorder.newest(plan.run, "test_accuracy"),
        )
