"""A whole job through the front door: trained, stopped, resumed, evaluated, exported."""

import itertools
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.checkpoints import read_safetensors, write_safetensors
from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.errors import Diverged, IncompatibleInputs, Interrupted, TimeLimitReached
from kdcore.export import load_network
from kdcore.job_runs import describe_network
from kdcore.manifest import verify_manifest
from kdcore.models import build_network, count_flops
from kdcore.progress import CheckpointSaved, Metrics, RunEvent, StageStarted
from kdcore.run import RunResult, TeacherInput, never_stop, run
from kdcore.spec import (
    Cnn,
    DistillJob,
    ImageInput,
    NetworkDescription,
    ResnetCifar,
    parse_job,
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


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    """Make a teacher with BatchNorm and dropout, so that leaving eval mode would show."""
    description = describe_network(parse_spec(), digits)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    write_safetensors(path, build_network(description, seed=5).state_dict())
    return TeacherInput(description, path)


def parse_spec(**changes: Any) -> DistillJob:
    job = parse_job(SPEC | changes)
    assert isinstance(job, DistillJob)
    return job


def run_job(
    folder: Path,
    digits: ArrayDataset,
    teacher: TeacherInput,
    *,
    spec: DistillJob | None = None,
    should_stop: Callable[[], bool] = never_stop,
    events: list[RunEvent] | None = None,
    checkpoint_seconds: float = 1000.0,
) -> RunResult:
    return run(
        spec or parse_spec(),
        dataset=digits,
        teachers=[teacher],
        folder=folder,
        device="cpu",
        num_threads=1,
        reporter=(events if events is not None else []).append,
        should_stop=should_stop,
        checkpoint_seconds=checkpoint_seconds,
    )


def stop_at_question(number: int) -> Callable[[], bool]:
    counter = itertools.count(1)
    return lambda: next(counter) >= number


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    tensors, _ = read_safetensors(folder / "artifacts" / f"{name}.safetensors")
    return tensors


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_job_stopped_ten_times_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    run_job(undisturbed, digits, teacher)
    for _ in range(10):
        with pytest.raises(Interrupted):
            run_job(stopped, digits, teacher, should_stop=stop_at_question(9))
    run_job(stopped, digits, teacher)

    for name in ("student", "control"):
        assert_same_bits(weights(undisturbed, name), weights(stopped, name))
    metrics = [
        (folder / "artifacts" / "metrics.csv").read_text() for folder in (undisturbed, stopped)
    ]
    assert metrics[0] == metrics[1]


def test_every_metric_point_is_told_once_over_all_attempts(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    for _ in range(3):
        with pytest.raises(Interrupted):
            run_job(tmp_path, digits, teacher, events=events, should_stop=stop_at_question(21))
    run_job(tmp_path, digits, teacher, events=events)
    told = [
        (event.run, point.name, point.step)
        for event in events
        if isinstance(event, Metrics)
        for point in event.points
    ]
    rows = (tmp_path / "artifacts" / "metrics.csv").read_text().splitlines()[1:]
    assert len(told) == len(set(told)) == len(rows)


def test_damaged_newest_checkpoint_is_passed_over(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    for _ in range(2):
        with pytest.raises(Interrupted):
            run_job(tmp_path / "job", digits, teacher, should_stop=stop_at_question(9))
    older, newest = sorted((tmp_path / "job" / "checkpoints").glob("*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    events: list[RunEvent] = []
    run_job(tmp_path / "job", digits, teacher, events=events)
    run_job(tmp_path / "undisturbed", digits, teacher)

    resumed = [event for event in events if event.type == "resumed"]
    assert [event.total_steps for event in resumed] == [int(older.stem.split("-")[1])]
    assert_same_bits(
        weights(tmp_path / "job", "student"), weights(tmp_path / "undisturbed", "student")
    )


def test_control_differs_from_the_student_only_by_the_teacher(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    """With the teacher's term weighed 0, the student is the control, bit for bit."""
    without_teacher = {"name": "logit_kd", "ce_weight": 1.0, "kd_weight": 0.0}
    run_job(tmp_path, digits, teacher, spec=parse_spec(method=without_teacher))
    assert_same_bits(weights(tmp_path, "student"), weights(tmp_path, "control"))


def test_teacher_moves_the_student(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    run_job(tmp_path, digits, teacher)
    student, control = weights(tmp_path, "student"), weights(tmp_path, "control")
    assert any(not torch.equal(student[name], control[name]) for name in student)


def test_report_has_the_columns_and_scores_of_the_networks_it_ships(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    result = run_job(tmp_path, digits, teacher)

    assert list(result.report.columns) == ["teacher", "student", "control"]
    test = digits.split("test")
    images_BCHW = torch.from_numpy(test.images_NHWC.copy()).permute(0, 3, 1, 2).float() / 255
    for run_name in ("student", "control"):
        classifier = load_network(tmp_path / "artifacts", run=run_name)
        with torch.no_grad():
            predicted_B = classifier(images_BCHW).argmax(dim=1)
        num_errors = int((predicted_B != torch.from_numpy(test.labels_N.copy())).sum())
        assert result.report.columns[run_name].splits["test"].num_errors == num_errors
    difference = (result.report.difference or {})["test"]
    columns = result.report.columns
    assert difference.num_errors == (
        columns["student"].splits["test"].num_errors - columns["control"].splits["test"].num_errors
    )


def test_artifacts_are_those_of_the_contract_and_match_their_manifest(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(exports=["safetensors", "onnx", "torch_export"])
    result = run_job(tmp_path, digits, teacher, spec=spec)
    assert {artifact.name for artifact in result.artifacts} == {
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
    assert {file.name for file in manifest.files} == {
        artifact.name for artifact in result.artifacts
    } - {"manifest.json"}
    assert json.loads((tmp_path / "artifacts" / "report.json").read_text())["kind"] == "distill"


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
    result = run(spec, dataset=digits, folder=tmp_path, device="cpu", num_threads=1)
    column = result.report.columns["network"]
    assert set(column.splits) == {"train", "test"}
    assert column.splits["test"].accuracy > 0.8
    assert load_network(tmp_path / "artifacts")(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_stages_follow_one_another(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    run_job(tmp_path, digits, teacher, events=events)
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    assert stages == ["preparing", "teacher", "training", "control", "evaluating", "exporting"]


def test_checkpoints_come_by_time_and_at_the_end_of_each_run(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    run_job(tmp_path, digits, teacher, events=events, checkpoint_seconds=1e-9)
    steps = [event.total_steps for event in events if isinstance(event, CheckpointSaved)]
    assert steps == list(range(1, steps[-1] + 1))
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2


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
        run_job(tmp_path, digits, teacher, spec=spec, events=events, checkpoint_seconds=1e-9)
    values = [p.value for event in events if isinstance(event, Metrics) for p in event.points]
    assert all(value == value and abs(value) != float("inf") for value in values)  # noqa: PLR0124  # NaN is what differs from itself


def test_time_limit_ends_the_job_with_a_checkpoint_to_go_on_from(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    long = parse_spec(limits={"max_seconds": 1}, training={"num_epochs": 2000, "batch_size": 8})
    with pytest.raises(TimeLimitReached, match="max_seconds"):
        run_job(tmp_path, digits, teacher, spec=long)
    assert list((tmp_path / "checkpoints").glob("*.safetensors"))


def test_checkpoint_of_another_job_is_refused(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, teacher, should_stop=stop_at_question(5))
    other = parse_spec(training={"num_epochs": 2, "batch_size": 64, "seed": 1})
    with pytest.raises(IncompatibleInputs, match="another spec"):
        run_job(tmp_path, digits, teacher, spec=other)


def test_teacher_for_other_images_is_refused_with_both_shapes(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    image = ImageInput(channels=2, height=16, width=16)
    wrong = NetworkDescription(
        architecture=Cnn(layers=teacher.description.architecture.layers),  # type: ignore[union-attr]  # a cnn, see the fixture
        input=image,
        num_classes=10,
    )
    with pytest.raises(IncompatibleInputs, match=r"2x16x16.*1x8x8"):
        run_job(tmp_path, digits, TeacherInput(wrong, teacher.weights))


def test_missing_teacher_is_refused(tmp_path: Path, digits: ArrayDataset) -> None:
    with pytest.raises(IncompatibleInputs, match="names 1 teachers and 0 were given"):
        run(parse_spec(), dataset=digits, folder=tmp_path)


def test_several_teachers_are_reported_together_and_each(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    other = tmp_path / "other.safetensors"
    write_safetensors(other, build_network(teacher.description, seed=6).state_dict())
    spec = parse_spec(teachers=[{"model": "a", "weight": 3}, {"model": "b"}])
    teachers = [teacher, TeacherInput(teacher.description, other)]
    before = [file.weights.read_bytes() for file in teachers]
    for stop in (stop_at_question(20), never_stop):
        with nullcontext() if stop is never_stop else pytest.raises(Interrupted):
            result = run(
                spec,
                dataset=digits,
                teachers=teachers,
                folder=tmp_path / "job",
                device="cpu",
                num_threads=1,
                should_stop=stop,
            )

    columns = result.report.columns
    assert list(columns) == ["teacher", "teacher_1", "teacher_2", "student", "control"]
    assert columns["teacher"].parameters == 2 * columns["teacher_1"].parameters
    assert columns["student"].splits["test"].agreement is not None
    assert columns["teacher_1"].splits["test"].agreement is None
    assert [file.weights.read_bytes() for file in teachers] == before
    manifest = verify_manifest(tmp_path / "job" / "artifacts")
    assert [each.model for each in manifest.teachers] == ["a", "b"]
    page = (tmp_path / "job" / "artifacts" / "report.html").read_text()
    assert "teacher_2" in page


def test_student_of_two_equal_teachers_is_the_student_of_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    run_job(tmp_path / "one", digits, teacher)
    run(
        parse_spec(teachers=[{"model": "a"}, {"model": "b"}], teacher_average="logits"),
        dataset=digits,
        teachers=[teacher, teacher],
        folder=tmp_path / "two",
        device="cpu",
        num_threads=1,
    )
    one, two = (weights(tmp_path / folder, "student") for folder in ("one", "two"))
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
    network = build_network(description, seed=5)
    write_safetensors(tmp_path / "teacher.safetensors", network.state_dict())
    other = TeacherInput(description, tmp_path / "teacher.safetensors")

    columns = run_job(tmp_path, digits, other).report.columns

    assert columns["teacher"].megaflops == count_flops(network, description.input) / 1e6
    assert columns["student"].splits["test"].agreement is not None


def test_teacher_near_chance_is_refused_before_anything_is_trained(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    spec = parse_spec(on_weak_teacher="refuse")
    with pytest.raises(IncompatibleInputs, match="hardly more of the dataset than guessing"):
        run_job(tmp_path, digits, teacher, spec=spec, events=events)
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    assert stages == ["preparing", "teacher"]


def test_what_the_teacher_knew_beforehand_is_in_log_and_report(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, teacher, should_stop=stop_at_question(5))
    columns = run_job(tmp_path, digits, teacher).report.columns
    accuracy = columns["teacher"].balanced_accuracy_beforehand
    assert accuracy is not None
    assert columns["student"].balanced_accuracy_beforehand is None
    log = (tmp_path / "artifacts" / "training.log").read_text()
    assert log.count(f"teacher: balanced accuracy {accuracy:.2%}") == 1


def test_student_on_another_task_has_a_teacher_without_scores(
    tmp_path: Path, digits: ArrayDataset
) -> None:
    description = describe_network(parse_spec(), digits).model_copy(
        update={"num_classes": 7, "class_names": ()}
    )
    write_safetensors(
        tmp_path / "teacher.safetensors", build_network(description, seed=5).state_dict()
    )
    spec = parse_spec(method={"name": "rkd"}, on_weak_teacher="refuse")
    result = run_job(
        tmp_path, digits, TeacherInput(description, tmp_path / "teacher.safetensors"), spec=spec
    )

    columns = result.report.columns
    assert columns["teacher"].splits == {}
    assert columns["student"].splits["test"].agreement is None
    assert (
        "has other classes than the dataset"
        in (tmp_path / "artifacts" / "training.log").read_text()
    )
    assert "teacher" in (tmp_path / "artifacts" / "report.html").read_text()
