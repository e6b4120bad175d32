"""Whole jobs by their teachers: none, several, unfit ones, and those of another size or task."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.data import ArrayDataset
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.job_runs import describe_network
from kdcore.manifest import verify_manifest
from kdcore.models import build_network, count_flops
from kdcore.progress import RunEvent, StageStarted
from kdcore.run import TeacherInput
from kdcore.spec import DistillJob, ImageInput, NetworkDescription, ResnetCifar
from tests.kdcore.small_jobs import (
    parse_distillation,
    run_job,
    stop_at_question,
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
        ],
    },
    "training": {"num_epochs": 1, "batch_size": 64},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}


def parse_spec(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    """Make a teacher with BatchNorm, so that leaving eval mode would show."""
    return untrained(tmp_path_factory.mktemp("teacher"), describe_network(parse_spec(), digits))


def test_missing_teacher_is_refused(tmp_path: Path, digits: ArrayDataset) -> None:
    with pytest.raises(IncompatibleInputs, match="names 1 teachers and 0 were given"):
        run_job(tmp_path, digits, [], parse_spec())


def test_teacher_for_other_images_is_refused_with_both_shapes(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    image = ImageInput(channels=2, height=16, width=16)
    wrong = teacher.description.model_copy(update={"input": image})
    with pytest.raises(IncompatibleInputs, match=r"2x16x16.*1x8x8"):
        run_job(tmp_path, digits, [TeacherInput(wrong, teacher.weights)], parse_spec())


def test_teacher_near_chance_is_refused_before_anything_is_trained(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    with pytest.raises(IncompatibleInputs, match="hardly more of the dataset than guessing"):
        run_job(tmp_path, digits, [teacher], parse_spec(on_weak_teacher="refuse"), events=events)
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    assert stages == ["preparing", "teacher"]


def test_what_the_teacher_knew_beforehand_is_in_log_and_report(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, [teacher], parse_spec(), should_stop=stop_at_question(5))
    columns = run_job(tmp_path, digits, [teacher], parse_spec()).report.columns
    accuracy = columns["teacher"].balanced_accuracy_beforehand
    assert accuracy is not None
    assert columns["student"].balanced_accuracy_beforehand is None
    log = (tmp_path / "artifacts" / "training.log").read_text()
    assert log.count(f"teacher: balanced accuracy {accuracy:.2%}") == 1


def test_several_teachers_are_reported_together_and_each(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(teachers=[{"model": "a", "weight": 3}, {"model": "b"}])
    teachers = [teacher, untrained(tmp_path, teacher.description, seed=6)]
    before = [file.weights.read_bytes() for file in teachers]
    job = tmp_path / "job"
    with pytest.raises(Interrupted):
        run_job(job, digits, teachers, spec, should_stop=stop_at_question(20))
    columns = run_job(job, digits, teachers, spec).report.columns

    assert list(columns) == ["teacher", "teacher_1", "teacher_2", "student", "control"]
    assert columns["teacher"].parameters == 2 * columns["teacher_1"].parameters
    assert columns["student"].splits["test"].agreement is not None
    assert columns["teacher_1"].splits["test"].agreement is None
    assert [file.weights.read_bytes() for file in teachers] == before
    manifest = verify_manifest(job / "artifacts")
    assert [each.model for each in manifest.teachers] == ["a", "b"]
    assert "teacher_2" in (job / "artifacts" / "report.html").read_text()


def test_student_of_two_equal_teachers_is_the_student_of_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(control=False)
    twice = parse_spec(
        teachers=[{"model": "a"}, {"model": "b"}], teacher_average="logits", control=False
    )
    run_job(tmp_path / "one", digits, [teacher], spec)
    run_job(tmp_path / "two", digits, [teacher, teacher], twice)

    one, two = (weights(tmp_path / folder) for folder in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-3, atol=1e-3)


def test_teacher_of_another_size_and_colours_sees_images_of_its_own(
    tmp_path: Path, digits: ArrayDataset
) -> None:
    description = NetworkDescription(
        architecture=ResnetCifar(depth=8, width=4),
        input=ImageInput(channels=3, height=12, width=16),
        num_classes=10,
    )
    other = untrained(tmp_path, description)

    columns = run_job(tmp_path, digits, [other], parse_spec(control=False)).report.columns

    network = build_network(description, device="meta")
    assert columns["teacher"].megaflops == count_flops(network, description.input) / 1e6
    assert columns["student"].splits["test"].agreement is not None


def test_student_on_another_task_has_a_teacher_without_scores(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    other = teacher.description.model_copy(update={"num_classes": 7, "class_names": ()})
    spec = parse_spec(method={"name": "rkd"}, on_weak_teacher="refuse", control=False)

    columns = run_job(tmp_path, digits, [untrained(tmp_path, other)], spec).report.columns

    assert columns["teacher"].splits == {}
    assert columns["student"].splits["test"].agreement is None
    artifacts = tmp_path / "artifacts"
    assert "has other classes than the dataset" in (artifacts / "training.log").read_text()
    assert "teacher" in (artifacts / "report.html").read_text()
