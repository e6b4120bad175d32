"""Whole jobs with methods that compare logits: they learn, stop, and go on where they stopped."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.errors import Interrupted
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent
from kdcore.run import TeacherInput, never_stop, run
from kdcore.spec import DistillJob, parse_job

# Without cross-entropy, so that what falls is the method's own loss.
METHODS: dict[str, dict[str, Any]] = {
    "dist": {"name": "dist", "ce_weight": 0.0},
    "dkd": {"name": "dkd", "ce_weight": 0.0, "warmup_epochs": 0.5},
    "logit_standardization": {"name": "logit_standardization", "ce_weight": 0.0},
}

each = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    description = describe_network(parse({"name": "logit_kd"}), digits)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_safetensors(path, build_network(description, seed=5).state_dict())
    return TeacherInput(description, path)


def parse(method: dict[str, Any], *, num_epochs: int = 1) -> DistillJob:
    job = parse_job(
        {
            "kind": "distill",
            "dataset": "digits",
            "teachers": [{"model": "teacher"}],
            "on_weak_teacher": "warn",
            "student": {"architecture": "mlp", "hidden": [24]},
            "method": method,
            "training": {"num_epochs": num_epochs, "batch_size": 64},
            "evaluation": {"latency": False},
            "exports": ["safetensors"],
            "control": False,
        }
    )
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    spec: DistillJob,
    *,
    stop_at_question: int | None = None,
) -> list[RunEvent]:
    events: list[RunEvent] = []
    questions = itertools.count(1)
    run(
        spec,
        dataset=digits,
        teachers=[teacher],
        folder=folder,
        device="cpu",
        num_threads=1,
        reporter=events.append,
        should_stop=(
            never_stop if stop_at_question is None else lambda: next(questions) >= stop_at_question
        ),
        checkpoint_seconds=1000.0,
    )
    return events


def student_weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors, _ = read_safetensors(folder / "artifacts" / "student.safetensors")
    return tensors


@each
def test_job_stopped_twice_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    spec = parse(method)
    run_job(tmp_path / "undisturbed", digits, teacher, spec)
    for _ in range(2):
        with pytest.raises(Interrupted):
            run_job(tmp_path / "stopped", digits, teacher, spec, stop_at_question=6)
    run_job(tmp_path / "stopped", digits, teacher, spec)

    undisturbed = student_weights(tmp_path / "undisturbed")
    stopped = student_weights(tmp_path / "stopped")
    assert [name for name in undisturbed if not torch.equal(undisturbed[name], stopped[name])] == []


@each
def test_method_lowers_its_own_loss(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    events = run_job(tmp_path, digits, teacher, parse(method, num_epochs=6))

    points = [p for event in events if isinstance(event, Metrics) for p in event.points]
    losses = [point.value for point in points if point.name == method["name"]]
    # The second reading: during the first the warm-up still holds the loss down.
    assert losses[-1] < 0.7 * losses[1]
