"""The main job through HTTP alone: upload a teacher and data, distil, watch, download, check.

N images, C channels, H height, W width.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from PIL import Image

from kdclient import ApiProblem, Potstill, verify_manifest
from kdclient.resources import Dataset, Job
from kdcore.checkpoints import read_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.export import load_network
from kdcore.report import Report
from tests.e2e.conftest import TEACHER_SPEC, Json, Teacher

pytestmark = pytest.mark.xdist_group("e2e")  # one service for all of them

STUDENT_SPEC: Json = {
    "kind": "distill",
    "name": "student",
    "student": {"architecture": "mlp", "hidden": [4]},
    "method": {"name": "logit_kd", "temperature": 4},
    "training": {"num_epochs": 3, "optimizer": {"name": "adam", "learning_rate": 0.01}},
    "control": True,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    """The same digits that the service has."""
    folder = tmp_path_factory.mktemp("digits") / "canonical"
    builtin("digits", folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def dataset(
    client: Potstill, digits: ArrayDataset, tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Digits uploaded as a zip of PNG images in class folders."""
    path = tmp_path_factory.mktemp("zip") / "digits.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("train", "test"):
            part = digits.train if split == "train" else digits.test
            for number, label in enumerate(part.labels_N):
                png = io.BytesIO()
                Image.fromarray(part.images_NHWC[number][:, :, 0]).save(png, format="PNG")
                archive.writestr(f"{split}/{label}/{number}.png", png.getvalue())
    upload = client.upload(path, "dataset")
    made = client.create_dataset("digits", upload_id=upload.id, format="image_folder_zip")
    return client.wait_until_ready(made)


@pytest.fixture(scope="module")
def student(client: Potstill, teacher: Teacher, dataset: Dataset) -> Job:
    """A finished distillation with its control."""
    spec = {**STUDENT_SPEC, "dataset": dataset.id, "teachers": [{"model": teacher.model.id}]}
    return client.wait_for_job(client.create_job(spec).id)


@pytest.fixture(scope="module")
def folder(client: Potstill, student: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the distillation."""
    folder = tmp_path_factory.mktemp("student")
    client.download_artifacts(student.id, folder)
    return folder


@pytest.fixture(scope="module")
def report(client: Potstill, student: Job) -> Report:
    """What the distillation found."""
    return client.report(student.id)


def test_stranger_brings_the_same_teacher_in_two_formats(
    client: Potstill, teacher: Teacher, tmp_path: Path
) -> None:
    weights = teacher.folder / "network.safetensors"
    torch.save(read_safetensors(weights)[0], tmp_path / "network.pth")
    found = []
    for path in (weights, tmp_path / "network.pth"):
        upload = client.upload(path, "checkpoint")
        model = client.create_model(
            path.name,
            upload_id=upload.id,
            architecture=teacher.description.architecture,
            image_input=teacher.description.input,
            class_names=teacher.description.class_names,
        )
        found.append(client.wait_until_ready(model))
    assert [model.format for model in found] == ["safetensors", "torch_zip"]
    assert found[0].sha256 == found[1].sha256 == teacher.model.sha256
    assert found[0].parameters == 64 * 48 + 48 + 48 * 10 + 10
    assert found[0].layers


def test_zip_of_images_becomes_the_same_pixels(dataset: Dataset, digits: ArrayDataset) -> None:
    assert dataset.image is not None
    assert (dataset.image.channels, dataset.image.height, dataset.image.width) == (1, 8, 8)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.splits is not None
    for name in ("train", "test"):
        expected = digits.description.splits[name].class_counts
        assert dataset.splits[name].class_counts == expected
    assert dataset.mean == pytest.approx(digits.description.mean)


def test_report_has_a_column_for_each_network(report: Report, student: Job) -> None:
    assert set(report.columns) == {"teacher", "student", "control"}
    assert report.difference is not None
    scores = {run: column.splits["test"] for run, column in report.columns.items()}
    change = report.difference["test"]
    assert change.num_errors == scores["student"].num_errors - scores["control"].num_errors
    assert report.columns["student"].parameters == report.columns["control"].parameters == 310
    assert scores["student"].agreement is not None
    assert student.result is not None


def test_teacher_scores_the_same_as_when_it_was_trained(
    client: Potstill, teacher: Teacher, report: Report
) -> None:
    trained = client.report(teacher.job.id).columns["network"].splits["test"]
    assert report.columns["teacher"].splits["test"].num_errors == trained.num_errors


def test_every_promised_file_is_there_and_whole(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
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
    manifest = verify_manifest(folder)
    assert len(manifest.files) == 10
    assert len(manifest.attempts) == 1


def test_manifest_names_teacher_and_spec(folder: Path, student: Job, teacher: Teacher) -> None:
    manifest = verify_manifest(folder)
    assert manifest.job_id == student.id
    assert [each.sha256 for each in manifest.teachers] == [teacher.model.sha256]
    assert manifest.spec.model_dump(mode="json") == student.spec


def test_rebuilt_student_and_onnx_score_what_the_report_states(
    folder: Path, report: Report, digits: ArrayDataset
) -> None:
    images_NCHW: npt.NDArray[np.float32] = np.ascontiguousarray(
        np.asarray(digits.test.images_NHWC).transpose(0, 3, 1, 2), dtype=np.float32
    )
    images_NCHW /= 255
    with torch.inference_mode():
        rebuilt = load_network(folder / "student.json")(torch.from_numpy(images_NCHW)).numpy()
    session = onnxruntime.InferenceSession(folder / "student.onnx")
    (onnx,) = session.run(None, {session.get_inputs()[0].name: images_NCHW})
    stated = report.columns["student"].splits["test"]
    for logits in (rebuilt, onnx):
        num_errors = int((logits.argmax(axis=1) != digits.test.labels_N).sum())
        assert num_errors == stated.num_errors
        assert (len(logits) - num_errors) / len(logits) == stated.accuracy


def test_history_is_whole(client: Potstill, student: Job) -> None:
    events = list(client.events(student.id))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    statuses = [event.to_status for event in events if event.to_status]
    assert statuses == ["queued", "running", "succeeded"]
    stages = [event.data["stage"] for event in events if event.type == "stage_entered"]
    assert stages == [
        "preparing",
        "teacher",
        "training",
        "control",
        "evaluating",
        "exporting",
        "uploading",
    ]
    runs = {(series.run, series.name) for series in client.metrics(student.id)}
    assert {("student", "test_accuracy"), ("control", "test_accuracy")} <= runs
    for series in client.metrics(student.id):
        assert list(series.steps) == sorted(set(series.steps))
    assert client.log(student.id)


def test_student_learns_from_another_dataset(
    client: Potstill, teacher: Teacher, dataset: Dataset, tmp_path: Path
) -> None:
    spec = {
        **STUDENT_SPEC,
        "dataset": dataset.id,
        "teachers": [{"model": teacher.model.id}],
        "method": {"name": "logit_kd", "ce_weight": 0.0, "kd_weight": 1.0},
        "transfer": {"dataset": "digits", "unlabeled": True},
        "control": False,
        "exports": ["safetensors"],
    }
    job = client.wait_for_job(client.create_job(spec).id)
    report = client.report(job.id)
    assert (report.dataset, report.transfer_dataset) == (dataset.id, "digits")
    client.download_artifacts(job.id, tmp_path)
    manifest = verify_manifest(tmp_path)
    assert manifest.dataset.dataset == dataset.id
    assert manifest.transfer_dataset is not None
    assert manifest.transfer_dataset.dataset == "digits"


def test_student_can_teach(client: Potstill, student: Job, dataset: Dataset) -> None:
    model = client.wait_until_ready(client.create_model_from_job("student", job_id=student.id))
    spec = {**STUDENT_SPEC, "dataset": dataset.id, "teachers": [{"model": model.id}]}
    plan = client.validate_job(spec)
    assert plan.teachers[0].parameters == 310
    assert any("not fewer than the teacher's" in warning for warning in plan.warnings)


def test_job_is_paused_resumed_cancelled_and_retried(client: Potstill) -> None:
    long = {**TEACHER_SPEC, "training": {"num_epochs": 3000}}
    job = client.create_job(long)
    wait_for_status(client, job.id, "running")
    assert client.pause(job.id).status == "pausing"
    wait_for_status(client, job.id, "paused")
    client.resume(job.id)
    wait_for_status(client, job.id, "running")
    client.cancel(job.id)
    wait_for_status(client, job.id, "cancelled")
    with pytest.raises(ApiProblem, match="invalid_transition"):
        client.pause(job.id)
    client.retry(job.id)
    wait_for_status(client, job.id, "running")
    client.cancel(job.id)
    ended = wait_for_status(client, job.id, "cancelled")
    assert [attempt.number for attempt in ended.attempts] == [1, 2, 3]
    assert ended.attempts[1].resumed_from_step is not None


def wait_for_status(client: Potstill, job_id: str, status: str) -> Job:
    """Follow a job until it trains, or has another status than running."""
    for job in client.watch(job_id):
        if job.status == status and (status != "running" or job.stage == "training"):
            return job
    job = client.job(job_id)
    assert job.status == status
    return job


def test_teacher_and_student_are_measured_together(
    client: Potstill, teacher: Teacher, student: Job, dataset: Dataset, report: Report
) -> None:
    made = client.wait_until_ready(client.create_model_from_job("student", job_id=student.id))
    spec = {
        "kind": "evaluate",
        "dataset": dataset.id,
        "models": [{"model": teacher.model.id, "weight": 3.0}, {"model": made.id}],
        "evaluation": {"latency": False},
    }
    assert [model.model for model in client.validate_job(spec).models] == [
        teacher.model.id,
        made.id,
    ]
    job = client.wait_for_job(client.create_job(spec).id)

    together = client.report(job.id)
    assert job.kind == together.kind == "evaluate"
    assert set(together.columns) == {"network_1", "network_2", "ensemble"}
    for column, run in (("network_1", "teacher"), ("network_2", "student")):
        scores = together.columns[column].splits["test"]
        assert scores.confusion_matrix == report.columns[run].splits["test"].confusion_matrix
    assert {artifact.name for artifact in client.artifacts(job.id)} == {
        "report.json",
        "report.html",
        "manifest.json",
    }
