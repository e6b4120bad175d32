"""A live progress bar for one job: stage, loss, accuracy, images per second, time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from kdclient.resources import Job, JobProgress
from kdcore.spec.stages import SINGLE_STAGE

_NOTHING = "–"


class JobDisplay:
    """Shows a job on a terminal as a bar; elsewhere as a line for each new stage and epoch tenth.

    A context manager; call `show` with each newer state of the job.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._last_line = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[facts]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("queued", total=1.0, facts="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, job: Job) -> None:
        """Show the job as it now is."""
        progress = job.progress
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=Text(describe(job)).plain,
                completed=1.0
                if job.status == "succeeded"
                else progress.fraction
                if progress
                else 0.0,
                facts=facts(progress) if progress else "",
            )
            return
        # Not a terminal: a log, in which a line now and then is enough.
        tenth = int(10 * progress.fraction) if progress else 0
        mark = f"{describe(job)} {tenth}"
        if mark != self._last_line:
            self._last_line = mark
            percent = f"{100 * progress.fraction:3.0f} %  {facts(progress)}" if progress else ""
            line = f"{describe(job):22}  {percent}".rstrip()
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def describe(job: Job) -> str:
    """What the job is doing, in a few words: its status, or what it runs, and a stage's name."""
    if job.status != "running":
        return job.status
    if job.stage in ("training", "control") and job.progress:
        stage = job.progress.training_stage
        named = f", {stage}" if stage not in (None, *SINGLE_STAGE) else ""
        return f"training {job.progress.run}{named}"
    return str(job.stage or job.status)


def facts(progress: JobProgress) -> str:
    """Epoch, loss, accuracy, images per second and time left, in one line."""
    parts = [
        f"epoch {progress.epoch}/{progress.num_epochs}",
        f"loss {_number(progress.loss, '.4f')}",
        f"accuracy {_number(progress.accuracy, '.2%')}",
        f"{progress.images_per_second:,.0f} images/s",
        f"ETA {_clock(progress.eta_seconds)}",
    ]
    return "  ".join(parts)


def _number(value: float | None, format_spec: str) -> str:
    return _NOTHING if value is None else format(value, format_spec)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
