"""A whole job through the front door: trained, evaluated, exported."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.data import ArrayDataset, ArraySplit
from kdcore.errors import Diverged, TimeLimitReached
from kdcore.export import load_network
from kdcore.job_runs import describe_network
from kdcore.manifest import verify_manifest
from kdcore.progress import RunEvent, StageStarted
from kdcore.run import RunResult, TeacherInput
from kdcore.spec import DistillJob, parse_job
from kdcore.trainer import CheckpointFolder
from tests.kdcore.small_jobs import (
    differing,
    parse_distillation,
    run_job,
    series,
    untrained,
    weights,
)

SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "on_weak_teacher": "warn",
    "student": {
        "architecture": "cnn",
        "layers": [
            {"layer": "conv", "channels": 4},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "pool"},
            {"layer": "dropout", "probability": 0.2},
        ],
    },
    "transfer": {"augmentation": {"name": "jitter", "pixels": 1}},
    "training": {"num_epochs": 2, "batch_size": 64},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}


def parse_spec(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    """Make a teacher with BatchNorm and dropout, so that leaving eval mode would show."""
    return untrained(tmp_path_factory.mktemp("teacher"), describe_network(parse_spec(), digits))


@dataclass(frozen=True)
class Finished:
    """A job that ran to its end."""

    folder: Path
    result: RunResult
    events: list[RunEvent]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset, teacher: TeacherInput
) -> Finished:
    folder, events = tmp_path_factory.mktemp("finished"), list[RunEvent]()
    result = run_job(folder, digits, [teacher], parse_spec(), events=events)
    return Finished(folder, result, events)


def test_stages_follow_one_another(finished: Finished) -> None:
    stages = [event.stage for event in finished.events if isinstance(event, StageStarted)]
    assert stages == ["preparing", "teacher", "training", "control", "evaluating", "exporting"]


def test_teacher_moves_the_student(finished: Finished) -> None:
    assert differing(weights(finished.folder), weights(finished.folder, "control")) != []


def test_report_has_the_columns_and_scores_of_the_networks_it_ships(
    finished: Finished, digits: ArrayDataset
) -> None:
    columns = finished.result.report.columns
    assert list(columns) == ["teacher", "student", "control"]
    test = digits.split("test")
    images_BCHW = torch.from_numpy(np.array(test.images_NHWC)).permute(0, 3, 1, 2).float() / 255
    for run_name in ("student", "control"):
        classifier = load_network(finished.folder / "artifacts", run=run_name)
        with torch.no_grad():
            predicted_B = classifier(images_BCHW).argmax(dim=1)
        num_errors = int((predicted_B != torch.from_numpy(test.labels_N.copy())).sum())
        assert columns[run_name].splits["test"].num_errors == num_errors
    difference = (finished.result.report.difference or {})["test"]
    assert difference.num_errors == (
        columns["student"].splits["test"].num_errors - columns["control"].splits["test"].num_errors
    )


def test_artifacts_are_those_of_the_contract_and_match_their_manifest(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(exports=["safetensors", "onnx", "torch_export"])
    result = run_job(tmp_path, digits, [teacher], spec)
    artifacts = {artifact.name for artifact in result.artifacts}
    assert artifacts == {
        "student.safetensors",
        "student.json",
        "student.onnx",
        "student.pt2",
        "control.safetensors",
        "report.json",
        "report.html",
        "metrics.csv",
        "training.log",
        "model_card.md",
        "manifest.json",
    }
    manifest = verify_manifest(tmp_path / "artifacts")
    assert {file.name for file in manifest.files} == artifacts - {"manifest.json"}
    assert json.loads((tmp_path / "artifacts" / "report.json").read_text())["kind"] == "distill"


def test_control_differs_from_the_student_only_by_the_teacher(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """With the teacher's term weighed 0, the student is the control, bit for bit."""
    without_teacher = {"name": "logit_kd", "ce_weight": 1.0, "kd_weight": 0.0}
    run_job(tmp_path, digits, [teacher], parse_spec(method=without_teacher))
    assert differing(weights(tmp_path), weights(tmp_path, "control")) == []


def test_last_epoch_counts_even_where_the_test_split_likes_an_earlier_one_better(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """The trap: weights of the epoch that did best on the test split."""
    test = digits.test
    wrong = replace(digits, test=ArraySplit(test.images_NHWC, (test.labels_N + 1) % 10))
    spec = parse_spec(training=SPEC["training"] | {"num_epochs": 4}, control=False)
    events: list[RunEvent] = []
    run_job(tmp_path / "true", digits, [teacher], spec)
    run_job(tmp_path / "wrong", wrong, [teacher], spec, events=events)

    accuracies = series(events)["test_accuracy"]
    assert max(accuracies) > accuracies[-1]
    assert differing(weights(tmp_path / "true"), weights(tmp_path / "wrong")) == []


def test_train_job_trains_a_network_without_a_teacher(tmp_path: Path, digits: ArrayDataset) -> None:
    spec = parse_job(
        {
            "kind": "train",
            "dataset": "digits",
            "network": {"architecture": "mlp", "hidden": [32]},
            "training": {"num_epochs": 20, "batch_size": 32},
            "evaluation": {"latency": False, "splits": ["train", "test"]},
            "exports": ["safetensors"],
        }
    )
    result = run_job(tmp_path, digits, [], spec)
    column = result.report.columns["network"]
    assert set(column.splits) == {"train", "test"}
    assert column.splits["test"].accuracy > 0.8
    assert load_network(tmp_path / "artifacts")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_divergence_is_named_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    training = {
        "num_epochs": 3,
        "batch_size": 64,
        "optimizer": {"name": "sgd", "learning_rate": 100.0, "momentum": 0.99},
        "schedule": {"name": "constant"},
    }
    student = {"architecture": "mlp", "hidden": [64, 64, 64]}
    spec = parse_spec(training=training, student=student)
    events: list[RunEvent] = []
    with pytest.raises(Diverged, match="learning_rate"):
        run_job(tmp_path, digits, [teacher], spec, events=events, checkpoint_seconds=1e-9)
    values = [value for told in series(events).values() for value in told]
    assert all(math.isfinite(value) for value in values)
    state = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert state is not None
    assert all(bool(tensor.isfinite().all()) for tensor in state.network.values())


def test_time_limit_ends_the_job_with_a_checkpoint_to_go_on_from(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    long = parse_spec(limits={"max_seconds": 1}, training={"num_epochs": 2000, "batch_size": 8})
    with pytest.raises(TimeLimitReached, match="max_seconds"):
        run_job(tmp_path, digits, [teacher], long)
    assert list((tmp_path / "checkpoints").glob("*.safetensors"))
