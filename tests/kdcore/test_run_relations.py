"""Whole jobs with methods that compare layers and remember images: stopped, resumed, exported."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.errors import Interrupted
from kdcore.export import load_network
from kdcore.job_runs import describe_network
from kdcore.models import build_network, count_parameters
from kdcore.run import RunResult, TeacherInput, never_stop, run
from kdcore.spec import DistillJob, parse_job

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
            {"layer": "conv", "channels": 6},
            {"layer": "activation"},
            {"layer": "pool"},
            {"layer": "dropout", "probability": 0.2},
        ],
    },
    "training": {"num_epochs": 2, "batch_size": 128},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
    "control": False,
}
TEACHER = {
    "architecture": "cnn",
    "layers": [
        {"layer": "conv", "channels": 8},
        {"layer": "activation"},
        {"layer": "pool"},
        {"layer": "conv", "channels": 12},
        {"layer": "activation"},
        {"layer": "pool"},
    ],
}
# The last maps; the teacher's has 12 channels and the student's 6.
LAST = [{"teacher": "layers.5", "student": "layers.7"}]
STAGES = [
    {"teacher": "layers.2", "student": "layers.3"},
    *LAST,
    {"teacher": "classifier", "student": "classifier"},
]
METHODS: dict[str, dict[str, Any]] = {
    "crd": {"name": "crd", "num_negatives": 300},
    "reviewkd": {"name": "reviewkd", "layers": STAGES, "warmup_epochs": 0.5},
    "rkd": {"name": "rkd", "layers": LAST},
}

SIMKD: dict[str, Any] = {"name": "simkd"}

each = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
each_and_simkd = pytest.mark.parametrize(
    "method", [*METHODS.values(), SIMKD], ids=[*METHODS.keys(), "simkd"]
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    description = describe_network(parse(student=TEACHER), digits)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_safetensors(path, build_network(description, seed=5).state_dict())
    return TeacherInput(description, path)


def parse(**changes: Any) -> DistillJob:
    job = parse_job(SPEC | changes)
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    spec: DistillJob,
    *,
    stop_at_question: int | None = None,
) -> RunResult:
    questions = itertools.count(1)
    return run(
        spec,
        dataset=digits,
        teachers=[teacher],
        folder=folder,
        device="cpu",
        num_threads=1,
        should_stop=(
            never_stop if stop_at_question is None else lambda: next(questions) >= stop_at_question
        ),
        checkpoint_seconds=1000.0,
    )


def student_weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors, _ = read_safetensors(folder / "artifacts" / "student.safetensors")
    return tensors


@each_and_simkd
def test_job_stopped_three_times_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    spec = parse(method=method)
    run_job(tmp_path / "undisturbed", digits, teacher, spec)
    for _ in range(3):
        with pytest.raises(Interrupted):
            run_job(tmp_path / "stopped", digits, teacher, spec, stop_at_question=6)
    run_job(tmp_path / "stopped", digits, teacher, spec)

    undisturbed, stopped = (
        student_weights(tmp_path / "undisturbed"),
        student_weights(tmp_path / "stopped"),
    )
    assert undisturbed.keys() == stopped.keys()
    assert [name for name in undisturbed if not torch.equal(undisturbed[name], stopped[name])] == []


@each
def test_student_is_exported_without_what_only_training_needs(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    spec = parse(method=method)
    run_job(tmp_path, digits, teacher, spec)

    plain = build_network(describe_network(spec, digits), device="meta").state_dict()
    assert student_weights(tmp_path).keys() == plain.keys()


@each_and_simkd
def test_method_lowers_its_own_loss(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    """With no label and no soft target, what the method compares still comes closer."""
    alone = method | {"ce_weight": 0.0}
    run_job(
        tmp_path,
        digits,
        teacher,
        parse(method=alone, training=SPEC["training"] | {"num_epochs": 6}),
    )

    rows = (tmp_path / "artifacts" / "metrics.csv").read_text().splitlines()[1:]
    losses = [float(row.split(",")[-1]) for row in rows if row.split(",")[1] == "loss"]
    # From its peak on, for a loss may be warmed up.
    assert losses[-1] < 0.9 * max(losses)


def test_simkd_exports_projector_and_the_teachers_classifier_in_every_format(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    # Weight decay would move a classifier that is frozen in name only.
    training = SPEC["training"] | {"optimizer": {"name": "adamw", "weight_decay": 0.5}}
    formats = ["safetensors", "onnx", "torch_export"]
    spec = parse(method=SIMKD, training=training, exports=formats, control=True)
    result = run_job(tmp_path, digits, teacher, spec)

    assert {"student.onnx", "student.pt2", "student.json", "control.json"} <= {
        artifact.name for artifact in result.artifacts
    }
    theirs, _ = read_safetensors(teacher.weights)
    student = student_weights(tmp_path)
    for name in ("classifier.weight", "classifier.bias"):
        assert torch.equal(student[name], theirs[name])
    assert any(name.startswith("projector.") for name in student)


def test_simkd_reports_the_parameters_of_what_each_run_trained(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse(method=SIMKD, control=True)
    columns = run_job(tmp_path, digits, teacher, spec).report.columns

    for name in ("student", "control"):
        network = load_network(tmp_path / "artifacts", run=name).network
        assert columns[name].parameters == count_parameters(network)
    plain = build_network(describe_network(spec, digits), device="meta")
    assert columns["control"].parameters == count_parameters(plain)
    assert columns["student"].parameters > columns["control"].parameters
