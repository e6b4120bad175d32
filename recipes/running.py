"""Runs the jobs of an experiment, several side by side, each once."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdcore.data import ArrayDataset, load_dataset
from kdcore.errors import KdcoreError
from kdcore.run import run
from kdcore.spec import AnyJob
from kdcore.teacher import TeacherInput
from recipes.planning import PlannedJob
from recipes.store import FinishedJob, add_spent, content_digest, find_finished, find_given

NOT_RUN = "not_run"


@dataclass(frozen=True)
class Machine:
    """Where jobs run: the device, how many at a time, and the CPU threads of each."""

    device: str = "auto"
    num_workers: int = 1
    num_threads: int = 1


@dataclass(frozen=True)
class FailedJob:
    """A job that did not finish, and why; so do those that need it."""

    planned: PlannedJob
    code: str
    message: str


@dataclass(frozen=True)
class _Task:
    """What crosses into the process that trains."""

    spec: AnyJob
    dataset: Path
    teachers: tuple[TeacherInput, ...]
    folder: Path
    device: str
    num_threads: int


@dataclass(frozen=True)
class _Error:
    """What comes back of an error: the classes themselves do not all survive the journey."""

    code: str
    message: str


Outcome = FinishedJob | FailedJob


class JobRunner:
    """Runs planned jobs once each; those that lie finished in the store are not run again.

    Args:
        dataset: The canonical folder, and what it holds.
        store: Folder of finished and interrupted jobs, by their content.
        machine: Where to run.
        only_finished: Run nothing; what does not lie finished counts as failed.
        given: Job name -> folder with `artifacts/` of that very job, run elsewhere.
        tell: Is told each outcome as it comes, with the number of jobs that remain.
    """

    def __init__(
        self,
        dataset: tuple[Path, ArrayDataset],
        store: Path,
        machine: Machine,
        *,
        given: Mapping[str, Path],
        only_finished: bool = False,
        tell: Callable[[Outcome, int], None],
    ) -> None:
        self._dataset_folder, self._dataset = dataset
        self._store = store
        self._machine = machine
        self._given = given
        self._only_finished = only_finished
        self._tell = tell

    def run(self, jobs: Sequence[PlannedJob]) -> tuple[Outcome, ...]:
        """Run `jobs`; each begins when those it needs are finished. Outcomes in their order.

        Raises:
            ValueError: what was given for a job is not that job's result.
        """
        outcomes: dict[str, Outcome] = {}
        running: dict[Future[_Error | None], tuple[PlannedJob, Path]] = {}
        waiting = list(jobs)
        with _executor(self._machine.num_workers) as executor:
            while waiting or running:
                ready = [job for job in waiting if set(job.needs) <= outcomes.keys()]
                for planned in ready[: self._machine.num_workers - len(running)]:
                    waiting.remove(planned)
                    begun = self._begin(planned, outcomes)
                    if isinstance(begun, _Task):
                        running[executor.submit(_train, begun)] = (planned, begun.folder)
                    else:
                        outcomes[planned.name] = begun
                        self._tell(begun, len(jobs) - len(outcomes))
                if not running:
                    continue
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    planned, folder = running.pop(future)
                    outcome = outcomes[planned.name] = _ended(planned, folder, future.result())
                    self._tell(outcome, len(jobs) - len(outcomes))
        return tuple(outcomes[job.name] for job in jobs)

    def _begin(self, planned: PlannedJob, outcomes: Mapping[str, Outcome]) -> _Task | Outcome:
        """Give the task to run, or the outcome where that is known without running."""
        teachers = []
        for need in planned.needs:
            teacher = outcomes[need]
            if isinstance(teacher, FailedJob):
                return FailedJob(planned, "job_before_failed", f"{need} failed.")
            teachers.append(teacher.network())
        splits = self._dataset.description.splits.values()
        digests = [d for split in splits for d in (split.images_sha256, split.labels_sha256)]
        if planned.name in self._given:
            found = find_given(planned, self._given[planned.name], digests, teachers)
            if found is None:
                raise ValueError(f"{self._given[planned.name]} is not a result of {planned.name}.")
            return found
        folder = self._store / content_digest(planned.spec, digests, teachers)
        finished = find_finished(planned, folder)
        if finished is not None:
            return finished
        if self._only_finished:
            return FailedJob(planned, NOT_RUN, "It has not been run.")
        return _Task(
            spec=planned.spec,
            dataset=self._dataset_folder,
            teachers=tuple(teachers),
            folder=folder,
            device=self._machine.device,
            num_threads=self._machine.num_threads,
        )


def _train(task: _Task) -> _Error | None:
    """Run one job, in whichever process this is; goes on from a checkpoint if there is one."""
    task.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        run(
            task.spec,
            dataset=load_dataset(task.dataset),
            teachers=task.teachers,
            folder=task.folder,
            device=task.device,
            num_threads=task.num_threads,
        )
    except KdcoreError as error:
        return _Error(error.code, error.message)
    finally:
        add_spent(task.folder, time.monotonic() - started)
    return None


def _ended(planned: PlannedJob, folder: Path, error: _Error | None) -> Outcome:
    if error is not None:
        return FailedJob(planned, error.code, error.message)
    finished = find_finished(planned, folder)
    if finished is None:
        return FailedJob(planned, "artifacts_damaged", f"{folder} does not hold what was written.")
    return finished


class _InThisProcess(Executor):
    """Runs what is submitted at once, so that one worker needs no second process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn` now; what it raises is raised here."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _executor(num_workers: int) -> Iterator[Executor]:
    if num_workers == 1:
        yield _InThisProcess()
        return
    # Never a fork: torch has threads, and CUDA would not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        yield pool
