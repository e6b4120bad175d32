"""Whole jobs of `simkd`, whose student ends in its teacher's classifier."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset
from kdcore.export import load_network
from kdcore.job_runs import describe_network
from kdcore.models import build_network, count_parameters
from kdcore.run import TeacherInput
from kdcore.spec import Cnn, DistillJob
from kdcore.spec.architectures import ActivationLayer, Conv, Pool
from tests.kdcore.small_jobs import parse_distillation, run_job, untrained, weights

SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "teachers": [{"model": "teacher"}],
    "on_weak_teacher": "warn",
    "student": {
        "architecture": "cnn",
        "layers": [
            {"layer": "conv", "channels": 6},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "pool"},
        ],
    },
    "method": {"name": "simkd"},
    "training": {"num_epochs": 1, "batch_size": 128},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
TEACHER = Cnn(layers=(Conv(channels=12), ActivationLayer(), Pool()))


def parse_spec(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    description = describe_network(parse_spec(), digits)
    description = description.model_copy(update={"architecture": TEACHER})
    return untrained(tmp_path_factory.mktemp("teacher"), description)


def test_projector_and_the_teachers_classifier_are_exported_in_every_format(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    # Weight decay would move a classifier that is frozen in name only.
    training = SPEC["training"] | {"optimizer": {"name": "adamw", "weight_decay": 0.5}}
    formats = ["safetensors", "onnx", "torch_export"]
    spec = parse_spec(training=training, exports=formats)
    result = run_job(tmp_path, digits, [teacher], spec)

    assert {"student.onnx", "student.pt2", "student.json", "control.json"} <= {
        artifact.name for artifact in result.artifacts
    }
    theirs, _ = read_safetensors(teacher.weights)
    student = weights(tmp_path)
    for name in ("classifier.weight", "classifier.bias"):
        assert torch.equal(student[name], theirs[name])
    assert any(name.startswith("projector.") for name in student)


def test_report_has_the_parameters_of_what_each_run_trained(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(control=True)
    columns = run_job(tmp_path, digits, [teacher], spec).report.columns

    for name in ("student", "control"):
        network = load_network(tmp_path / "artifacts", run=name).network
        assert columns[name].parameters == count_parameters(network)
    plain = build_network(describe_network(spec, digits), device="meta")
    assert columns["control"].parameters == count_parameters(plain)
    assert columns["student"].parameters > columns["control"].parameters
