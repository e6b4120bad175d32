"""Whole jobs on transfer sets: mixed, held out, unlabelled."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset, ArraySplit, builtin, load_dataset
from kdcore.devices import choose_compute
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.export import load_network
from kdcore.job_runs import JobRuns, describe_network
from kdcore.manifest import verify_manifest
from kdcore.models import build_network
from kdcore.progress import Metrics, RunEvent
from kdcore.report import Report
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
RANDAUGMENT = {"name": "randaugment", "num_ops": 2, "magnitude": 9, "padding": 1}
MIXES = [{"name": "mixup", "alpha": 0.4}, {"name": "cutmix", "probability": 0.5}]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    """Make a teacher that is the student before its first step."""
    description = describe_network(parse_spec(), digits)
    network = build_network(description, seed=derive_seed(0, "weights"))
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_safetensors(path, network.state_dict())
    return TeacherInput(description, path)


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
    events = run_job(tmp_path, digits, teacher, spec)
    losses = [
        point.value
        for event in events
        if isinstance(event, Metrics)
        for point in event.points
        if point.name == "loss"
    ]
    assert losses
    assert max(map(abs, losses)) < 1e-6


@pytest.mark.parametrize("mix", MIXES)
def test_control_sees_the_same_mix(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, mix: dict[str, Any]
) -> None:
    without_teacher = {"name": "logit_kd", "ce_weight": 1.0, "kd_weight": 0.0}
    spec = parse_spec(method=without_teacher, transfer={"mix": mix})
    run_job(tmp_path / "mixed", digits, teacher, spec)
    assert same_bits(weights(tmp_path / "mixed"), weights(tmp_path / "mixed", "control"))
    run_job(tmp_path / "plain", digits, teacher, parse_spec(method=without_teacher, transfer={}))
    assert not same_bits(weights(tmp_path / "mixed"), weights(tmp_path / "plain"))


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
    run_job(tmp_path / "undisturbed", digits, teacher, spec)
    for _ in range(3):
        with pytest.raises(Interrupted):
            run_job(tmp_path / "stopped", digits, teacher, spec, should_stop=stop_at_question(14))
    run_job(tmp_path / "stopped", digits, teacher, spec)
    for name in ("student", "control"):
        assert same_bits(
            weights(tmp_path / "undisturbed", name), weights(tmp_path / "stopped", name)
        )


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
    run_job(tmp_path / "true", digits, teacher, spec)
    run_job(tmp_path / "wrong", relabelled(digits), teacher, spec)
    assert same_bits(weights(tmp_path / "true"), weights(tmp_path / "wrong"))


def test_labelled_student_does_depend_on_them(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """The test above can fail."""
    student = {"architecture": "mlp", "hidden": [8]}
    spec = parse_spec(transfer={"fraction": 0.5}, student=student, control=False)
    run_job(tmp_path / "true", digits, teacher, spec)
    run_job(tmp_path / "wrong", relabelled(digits), teacher, spec)
    assert not same_bits(weights(tmp_path / "true"), weights(tmp_path / "wrong"))


def test_left_out_classes_stay_in_the_network_and_in_the_evaluation(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(transfer={"exclude_classes": [3, 4]}, control=False)
    run_job(tmp_path, digits, teacher, spec)
    assert load_network(tmp_path / "artifacts")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    report = (tmp_path / "artifacts" / "report.json").read_text()
    assert f'"num_examples": {len(digits.test)}' in report


def test_methods_remember_only_images_that_can_come(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    transfer = {"fraction": 0.1, "exclude_classes": [0], "validation_fraction": 0.2}
    spec = parse_spec(method={"name": "crd"}, transfer=transfer, control=False)
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, teacher, spec, should_stop=stop_at_question(3))
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.safetensors")
    tensors, _ = read_safetensors(checkpoint)
    (rows,) = {len(tensor) for name, tensor in tensors.items() if "vectors_NE" in name}
    labels_N = digits.train.labels_N
    left_N = np.bincount(labels_N)[1:] - np.round(np.bincount(labels_N)[1:] * 0.2)
    assert rows == pytest.approx(left_N.sum() * 0.1, abs=5)


@pytest.fixture(scope="module")
def negatives(digits: ArrayDataset) -> ArrayDataset:
    """Give the digits in white on black, with labels of two classes."""
    train = ArraySplit(255 - digits.train.images_NHWC[:500], digits.train.labels_N[:500] % 2)
    counts = np.bincount(train.labels_N)
    splits = dict(digits.description.splits)
    splits["train"] = splits["train"].model_copy(
        update={
            "num_examples": 500,
            "class_counts": tuple(counts.tolist()),
            "images_sha256": "0" * 64,
        }
    )
    description = digits.description.model_copy(
        update={"name": "negatives", "class_names": ("even", "odd"), "splits": splits}
    )
    return replace(digits, description=description, train=train)


UNLABELLED = {
    "method": SOFT_ONLY,
    "control": False,
    "student": {"architecture": "mlp", "hidden": [8]},
    "transfer": {"dataset": "negatives", "unlabeled": True, "validation_fraction": 0.1},
}


@pytest.mark.parametrize(
    "calibration",
    [{"rule": "none"}, {"rule": "match_prior", "images": "transfer", "prior": "uniform"}],
)
def test_student_learns_from_the_transfer_set_alone(
    tmp_path: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    negatives: ArrayDataset,
    calibration: dict[str, Any],
) -> None:
    spec = parse_spec(**UNLABELLED, calibration=calibration)
    black = ArraySplit(np.zeros_like(digits.train.images_NHWC), digits.train.labels_N)
    run_job(tmp_path / "one", digits, teacher, spec, transfer_dataset=negatives)
    blackened = replace(digits, train=black)
    run_job(tmp_path / "other", blackened, teacher, spec, transfer_dataset=negatives)
    assert same_bits(weights(tmp_path / "one"), weights(tmp_path / "other"))
    own = parse_spec(**UNLABELLED | {"transfer": {"unlabeled": True}})
    run_job(tmp_path / "own", digits, teacher, own)
    assert not same_bits(weights(tmp_path / "one"), weights(tmp_path / "own"))


def test_results_name_both_datasets(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, negatives: ArrayDataset
) -> None:
    run_job(tmp_path, digits, teacher, parse_spec(**UNLABELLED), transfer_dataset=negatives)
    artifacts = tmp_path / "artifacts"
    manifest = verify_manifest(artifacts)
    assert manifest.dataset.dataset == "digits"
    assert manifest.transfer_dataset is not None
    assert manifest.transfer_dataset.dataset == "negatives"
    assert manifest.transfer_dataset.splits["train"].images_sha256 == "0" * 64
    report = Report.model_validate_json((artifacts / "report.json").read_bytes())
    assert (report.dataset, report.transfer_dataset) == ("digits", "negatives")
    assert report.columns["student"].splits["test"].num_examples == len(digits.test)
    assert "negatives for training" in (artifacts / "model_card.md").read_text()
    page = (artifacts / "report.html").read_text()
    assert page.index("Trained on") < page.index("negatives")


def test_hold_out_is_the_datasets_and_the_transfer_set_is_used_whole(
    digits: ArrayDataset, negatives: ArrayDataset
) -> None:
    job = job_runs(parse_spec(**UNLABELLED), digits, transfer_dataset=negatives)
    validation = job.validation()
    assert validation is not None
    share = np.bincount(validation.labels_N) / np.bincount(digits.train.labels_N)
    assert np.allclose(share, 0.1, atol=0.01)
    assert job.plan("student", {}).view.num_examples == 500
    assert job.transfer_split is negatives.train


def test_checkpoint_of_another_transfer_set_is_refused(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, negatives: ArrayDataset
) -> None:
    spec = parse_spec(**UNLABELLED)
    with pytest.raises(Interrupted):
        run_job(
            tmp_path,
            digits,
            teacher,
            spec,
            transfer_dataset=negatives,
            should_stop=stop_at_question(3),
        )
    splits = dict(negatives.description.splits)
    splits["train"] = splits["train"].model_copy(update={"images_sha256": "1" * 64})
    description = negatives.description.model_copy(update={"splits": splits})
    changed = replace(negatives, description=description)
    with pytest.raises(IncompatibleInputs, match="another spec"):
        run_job(tmp_path, digits, teacher, spec, transfer_dataset=changed)


def test_transfer_set_is_given_exactly_if_it_is_named(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, negatives: ArrayDataset
) -> None:
    for spec, given in ((parse_spec(**UNLABELLED), None), (parse_spec(), negatives)):
        with pytest.raises(IncompatibleInputs) as caught:
            run_job(tmp_path, digits, teacher, spec, transfer_dataset=given)
        assert caught.value.code == "transfer_dataset_missing"


def job_runs(
    spec: DistillJob, dataset: ArrayDataset, *, transfer_dataset: ArrayDataset | None = None
) -> JobRuns:
    return JobRuns(
        spec,
        dataset,
        transfer_dataset=transfer_dataset,
        teachers=Teachers(),
        compute=choose_compute(device="cpu", precision="float32", num_threads=1),
    )
