"""Small jobs on transfer sets, for the tests of whole jobs."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset
from kdcore.devices import choose_compute
from kdcore.job_runs import JobRuns, describe_network
from kdcore.models import build_network
from kdcore.progress import RunEvent
from kdcore.run import TeacherInput, never_stop, run
from kdcore.seeds import derive_seed
from kdcore.spec import DistillJob, parse_job
from kdcore.teacher import Teachers

SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "on_weak_teacher": "warn",
    "student": {"architecture": "mlp", "hidden": [16]},
    "transfer": {"augmentation": {"name": "jitter", "pixels": 1}},
    "training": {"num_epochs": 2, "batch_size": 64},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
SOFT_ONLY = {"name": "logit_kd", "ce_weight": 0.0, "kd_weight": 1.0}
COMPUTE = choose_compute(device="cpu", precision="float32", num_threads=1)


def parse_spec(**changes: Any) -> DistillJob:
    job = parse_job(SPEC | changes)
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    dataset: ArrayDataset,
    teacher: TeacherInput,
    spec: DistillJob,
    *,
    transfer_dataset: ArrayDataset | None = None,
    should_stop: Callable[[], bool] = never_stop,
) -> list[RunEvent]:
    events: list[RunEvent] = []
    run(
        spec,
        dataset=dataset,
        transfer_dataset=transfer_dataset,
        teachers=[teacher],
        folder=folder,
        device="cpu",
        num_threads=1,
        reporter=events.append,
        should_stop=should_stop,
    )
    return events


def stop_at_question(number: int) -> Callable[[], bool]:
    counter = itertools.count(1)
    return lambda: next(counter) >= number


def weights(folder: Path, name: str = "student") -> dict[str, torch.Tensor]:
    tensors, _ = read_safetensors(folder / "artifacts" / f"{name}.safetensors")
    return tensors


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def make_teacher(folder: Path, dataset: ArrayDataset) -> TeacherInput:
    """Make a teacher that is the student before its first step."""
    description = describe_network(parse_spec(), dataset)
    network = build_network(description, seed=derive_seed(0, "weights"))
    path = folder / "teacher.safetensors"
    write_safetensors(path, network.state_dict())
    return TeacherInput(description, path)


def job_runs(
    spec: DistillJob, dataset: ArrayDataset, *, transfer_dataset: ArrayDataset | None = None
) -> JobRuns:
    return JobRuns(
        spec,
        dataset,
        transfer_dataset=transfer_dataset,
        teachers=Teachers(),
        compute=COMPUTE,
    )
