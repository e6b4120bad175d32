"""Whole jobs that name a method and nothing else of it train under plain gradient descent."""

from pathlib import Path
from typing import Any

import pytest

from kdcore.data import ArrayDataset
from kdcore.errors import Diverged
from kdcore.run import RunResult, TeacherInput
from kdcore.spec import parse_job, parse_network
from tests.kdcore.small_jobs import parse_distillation, run_job

# Its rate of 0.1 is what a plain sgd has.
SGD: dict[str, Any] = {"num_epochs": 6, "batch_size": 32, "optimizer": {"name": "sgd"}}
NETWORK: dict[str, Any] = {"architecture": "resnet_cifar", "depth": 8, "width": 8}
SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "student": NETWORK,
    "transfer": {"fraction": 0.5},
    "training": SGD,
    "control": False,
    "evaluation": {"latency": False, "every_epochs": 100},
    "exports": ["safetensors"],
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    """A network that has learnt: the layers of a fresh one are too small to do harm."""
    folder = tmp_path_factory.mktemp("teacher")
    spec = {
        "kind": "train",
        "dataset": "digits",
        "network": NETWORK | {"depth": 14, "width": 16},
        "training": SGD,
        "evaluation": SPEC["evaluation"],
        "exports": ["safetensors"],
    }
    run_job(folder, digits, [], parse_job(spec))
    network = folder / "artifacts" / "network.json"
    return TeacherInput(parse_network(network.read_text()), network.with_suffix(".safetensors"))


def distil(folder: Path, digits: ArrayDataset, teacher: TeacherInput, **changes: Any) -> RunResult:
    return run_job(folder, digits, [teacher], parse_distillation(SPEC | changes))


def accuracy(result: RunResult) -> float:
    return result.report.columns["student"].splits["test"].accuracy


@pytest.mark.parametrize("name", ["attention", "feature_matching", "fitnet", "fsp"])
def test_method_that_is_only_named_trains(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, name: str
) -> None:
    result = distil(tmp_path, digits, teacher, method={"name": name})

    assert accuracy(result) > 0.9


def test_first_stage_under_the_jobs_own_descent_diverges_and_says_where(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """Why `fsp` brings an optimizer: its loss is a sum over whole matrices."""
    stages = [{"stage": "fsp", "optimizer": {"name": "sgd"}}]
    with pytest.raises(Diverged, match="gradient_clip_norm") as stopped:
        distil(tmp_path, digits, teacher, method={"name": "fsp"}, training=SGD | {"stages": stages})

    assert (stopped.value.run, stopped.value.stage) == ("student", "fsp")
    assert "the stage's optimizer.learning_rate in training.stages ('fsp'), 0.1 now" in str(
        stopped.value
    )
