"""Whole jobs in the small, on one CPU thread: run, stopped, compared."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent
from kdcore.run import RunResult, TeacherInput, never_stop, run
from kdcore.spec import AnyJob, DistillJob, NetworkDescription, parse_job


def parse_distillation(fields: dict[str, Any]) -> DistillJob:
    job = parse_job(fields)
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    dataset: ArrayDataset,
    teachers: Sequence[TeacherInput],
    spec: AnyJob,
    *,
    transfer_dataset: ArrayDataset | None = None,
    events: list[RunEvent] | None = None,
    should_stop: Callable[[], bool] = never_stop,
    checkpoint_seconds: float = 1000.0,
) -> RunResult:
    """Run the job; append what it tells to `events`."""
    return run(
        spec,
        dataset=dataset,
        transfer_dataset=transfer_dataset,
        teachers=teachers,
        folder=folder,
        device="cpu",
        num_threads=1,
        reporter=(events if events is not None else []).append,
        should_stop=should_stop,
        checkpoint_seconds=checkpoint_seconds,
    )


def stop_at_question(number: int) -> Callable[[], bool]:
    """Answer False to every question before the one of that number: one comes before each step."""
    counter = itertools.count(1)
    return lambda: next(counter) >= number


def untrained(
    folder: Path, description: NetworkDescription, *, seed: int = 5, name: str = "teacher"
) -> TeacherInput:
    """Write a network's first weights, as a teacher that has learned nothing."""
    path = folder / f"{name}.safetensors"
    write_safetensors(path, build_network(description, seed=seed).state_dict())
    return TeacherInput(description, path)


def weights(folder: Path, name: str = "student") -> dict[str, torch.Tensor]:
    """Read a network that the job in `folder` exported."""
    tensors, _ = read_safetensors(folder / "artifacts" / f"{name}.safetensors")
    return tensors


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Name the tensors that are not the same to the last bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def curves_csv(folder: Path) -> str:
    """Read every point that the job in `folder` recorded."""
    return (folder / "artifacts" / "metrics.csv").read_text()


def series(events: list[RunEvent]) -> dict[str, list[float]]:
    """Give the values of every series that was told, by its name, whichever the run."""
    values: dict[str, list[float]] = {}
    for event in events:
        if isinstance(event, Metrics):
            for point in event.points:
                values.setdefault(point.name, []).append(point.value)
    return values
