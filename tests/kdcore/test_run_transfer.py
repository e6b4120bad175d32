"""Whole jobs on transfer sets: mixed, held out, unlabelled."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset, ArraySplit
from kdcore.errors import Interrupted
from kdcore.export import load_network
from kdcore.job_runs import JobRuns, describe_network, layers_of
from kdcore.progress import RunEvent
from kdcore.resolution import resolve_job
from kdcore.run import TeacherInput
from kdcore.spec.methods import MethodFields, MethodSpec
from kdcore.teacher import load_teachers
from tests.kdcore.small_jobs import (
    differing,
    run_job,
    series,
    stop_at_question,
    untrained,
    weights,
)
from tests.kdcore.transfer_jobs import (
    COMPUTE,
    SOFT_ONLY,
    SPEC,
    job_runs,
    make_teacher,
    parse_spec,
)

RANDAUGMENT = {"name": "randaugment", "num_ops": 2, "magnitude": 9, "padding": 1}
MIXES = [{"name": "mixup", "alpha": 0.4}, {"name": "cutmix", "probability": 0.5}]

METHODS: tuple[type[MethodFields], ...] = get_args(get_args(MethodSpec)[0])
TEACHABLE_WITHOUT_LABELS = {
    method.model_fields["name"].default
    for method in METHODS
    if method.NUM_TEACHERS[1] and not method.NEEDS_LABELS
}
LAYERS = [
    {"layer": "conv", "channels": 4},
    {"layer": "conv", "channels": 4},
    {"layer": "pool"},
    {"layer": "conv", "channels": 4},
    {"layer": "conv", "channels": 4},
    {"layer": "pool"},
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    return make_teacher(tmp_path_factory.mktemp("teacher"), digits)


def relabelled(dataset: ArrayDataset) -> ArrayDataset:
    """Give the same images with the train labels in another order."""
    train = dataset.train
    return replace(dataset, train=ArraySplit(train.images_NHWC, np.roll(train.labels_N, 1)))


@pytest.mark.parametrize("mix", MIXES)
def test_teacher_sees_the_very_mix_that_the_student_sees(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, mix: dict[str, Any]
) -> None:
    """A student that begins as its teacher has nothing to learn, if both see the same."""
    transfer = SPEC["transfer"] | {"mix": mix}
    # Adam would blow up what rounding leaves of the gradient.
    training = SPEC["training"] | {"optimizer": {"name": "sgd", "learning_rate": 0.01}}
    spec = parse_spec(method=SOFT_ONLY, transfer=transfer, training=training, control=False)
    events: list[RunEvent] = []
    run_job(tmp_path, digits, [teacher], spec, events=events)
    losses = series(events)["loss"]
    assert losses
    assert max(map(abs, losses)) < 1e-6


@pytest.mark.parametrize("mix", MIXES)
def test_control_sees_the_same_mix(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, mix: dict[str, Any]
) -> None:
    without_teacher = {"name": "logit_kd", "ce_weight": 1.0, "kd_weight": 0.0}
    spec = parse_spec(method=without_teacher, transfer={"mix": mix})
    run_job(tmp_path / "mixed", digits, [teacher], spec)
    assert differing(weights(tmp_path / "mixed"), weights(tmp_path / "mixed", "control")) == []
    run_job(tmp_path / "plain", digits, [teacher], parse_spec(method=without_teacher, transfer={}))
    assert differing(weights(tmp_path / "mixed"), weights(tmp_path / "plain")) != []


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("augmentation", [SPEC["transfer"]["augmentation"], RANDAUGMENT])
def test_varied_job_that_is_stopped_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    mix: dict[str, Any],
    augmentation: dict[str, Any],
) -> None:
    spec = parse_spec(transfer={"augmentation": augmentation, "mix": mix})
    run_job(tmp_path / "undisturbed", digits, [teacher], spec)
    for _ in range(3):
        with pytest.raises(Interrupted):
            run_job(tmp_path / "stopped", digits, [teacher], spec, should_stop=stop_at_question(14))
    run_job(tmp_path / "stopped", digits, [teacher], spec)
    for name in ("student", "control"):
        undisturbed, stopped = (
            weights(tmp_path / each, name) for each in ("undisturbed", "stopped")
        )
        assert differing(undisturbed, stopped) == []


def test_no_run_trains_on_the_hold_out(digits: ArrayDataset, teacher: TeacherInput) -> None:
    spec = parse_spec(transfer={"validation_fraction": 0.2})
    job = job_runs(spec, digits)
    validation = job.validation()
    assert validation is not None
    assert validation.labels_N.tolist() == (
        digits.train.labels_N[job.validation_indices_V].tolist()
    )
    share = np.bincount(validation.labels_N) / np.bincount(digits.train.labels_N)
    assert np.allclose(share, 0.2, atol=0.01)
    for name in job.runs:
        view = job.plan(name, {}).view
        seen = {i for s in range(view.steps_per_epoch) for i in view.batch(0, s).indices_B.tolist()}
        held_out = set(job.validation_indices_V.tolist())
        assert seen == set(range(len(digits.train))) - held_out


def test_without_a_hold_out_there_is_no_validation_split(digits: ArrayDataset) -> None:
    assert job_runs(parse_spec(), digits).validation() is None


def test_unlabelled_student_does_not_depend_on_any_train_label(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    transfer = {
        "unlabeled": True,
        "fraction": 0.5,
        "validation_fraction": 0.1,
        "mix": MIXES[0],
    }
    student = {"architecture": "mlp", "hidden": [8]}
    spec = parse_spec(method=SOFT_ONLY, transfer=transfer, student=student, control=False)
    run_job(tmp_path / "true", digits, [teacher], spec)
    run_job(tmp_path / "wrong", relabelled(digits), [teacher], spec)
    assert differing(weights(tmp_path / "true"), weights(tmp_path / "wrong")) == []


@pytest.mark.parametrize("name", sorted(TEACHABLE_WITHOUT_LABELS))
def test_no_stage_of_an_unlabelled_method_reads_labels(
    digits: ArrayDataset, name: str, tmp_path: Path
) -> None:
    spec = parse_spec(
        student={"architecture": "cnn", "layers": LAYERS},
        method={"name": name, "ce_weight": 0.0, "kd_weight": 1.0},
        transfer={"unlabeled": True, "fraction": 0.1},
        control=False,
    )
    description = describe_network(spec, digits)
    layers = layers_of(description)
    resolved = resolve_job(spec, student_layers=layers, teacher_layers=layers)
    teachers = load_teachers([untrained(tmp_path, description)], COMPUTE)
    plan = JobRuns(resolved, digits, teachers=teachers, compute=COMPUTE).plan("student", {})
    assert plan.stages
    assert not any(stage.objective.needs_labels for stage in plan.stages)


def test_labelled_student_does_depend_on_them(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """The test above can fail."""
    student = {"architecture": "mlp", "hidden": [8]}
    spec = parse_spec(transfer={"fraction": 0.5}, student=student, control=False)
    run_job(tmp_path / "true", digits, [teacher], spec)
    run_job(tmp_path / "wrong", relabelled(digits), [teacher], spec)
    assert differing(weights(tmp_path / "true"), weights(tmp_path / "wrong")) != []


def test_left_out_classes_stay_in_the_network_and_in_the_evaluation(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(transfer={"exclude_classes": [3, 4]}, control=False)
    run_job(tmp_path, digits, [teacher], spec)
    assert load_network(tmp_path / "artifacts")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    report = (tmp_path / "artifacts" / "report.json").read_text()
    assert f'"num_examples": {len(digits.test)}' in report


def test_methods_remember_only_images_that_can_come(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    transfer = {"fraction": 0.1, "exclude_classes": [0], "validation_fraction": 0.2}
    spec = parse_spec(method={"name": "crd"}, transfer=transfer, control=False)
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, [teacher], spec, should_stop=stop_at_question(3))
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.safetensors")
    tensors, _ = read_safetensors(checkpoint)
    (rows,) = {len(tensor) for name, tensor in tensors.items() if "vectors_NE" in name}
    labels_N = digits.train.labels_N
    left_N = np.bincount(labels_N)[1:] - np.round(np.bincount(labels_N)[1:] * 0.2)
    assert rows == pytest.approx(left_N.sum() * 0.1, abs=5)
