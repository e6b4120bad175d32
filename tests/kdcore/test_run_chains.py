"""Whole jobs in which trained networks teach: assistants, and generations of the student."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.data import ArrayDataset
from kdcore.errors import Interrupted
from kdcore.export import load_network
from kdcore.job_runs import describe_network
from kdcore.progress import Resumed, RunEvent, StageStarted
from kdcore.run import TeacherInput
from kdcore.spec import DistillJob, Mlp, parse_network
from tests.kdcore.small_jobs import (
    curves_csv,
    differing,
    parse_distillation,
    run_job,
    stop_at_question,
    untrained,
    weights,
)

MLP: dict[str, Any] = {"architecture": "mlp", "dropout": 0.2}
SPEC: dict[str, Any] = {
    "kind": "distill",
    "dataset": "digits",
    "student": MLP | {"hidden": [8]},
    "transfer": {"augmentation": {"name": "jitter", "pixels": 1}},
    "training": {"num_epochs": 1, "batch_size": 128},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
ASSISTED: dict[str, Any] = {
    "teachers": [{"model": "a"}, {"model": "b"}],
    "on_weak_teacher": "warn",
    "assistants": [MLP | {"hidden": [32]}, MLP | {"hidden": [16]}],
}
BORN_AGAIN: dict[str, Any] = {"method": {"name": "self_distillation", "generations": 3}}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> list[TeacherInput]:
    folder = tmp_path_factory.mktemp("teachers")
    wide = {"architecture": Mlp(hidden=(64,))}
    description = describe_network(parse_spec(ASSISTED), digits).model_copy(update=wide)
    return [untrained(folder, description, seed=seed, name=f"{seed}") for seed in (5, 6)]


def parse_spec(*changes: dict[str, Any]) -> DistillJob:
    document = dict(SPEC)
    for change in changes:
        document |= change
    return parse_distillation(document)


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        (ASSISTED, ["assistant_1", "assistant_2", "student", "control"]),
        (BORN_AGAIN, ["control", "generation_1", "generation_2", "student"]),
    ],
    ids=["assistants", "generations"],
)
def test_chain_stopped_in_every_run_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path,
    digits: ArrayDataset,
    teachers: list[TeacherInput],
    changes: dict[str, Any],
    runs: list[str],
) -> None:
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    spec = parse_spec(changes)
    taught_by = teachers[: len(spec.teachers)]
    run_job(undisturbed, digits, taught_by, spec)
    events: list[RunEvent] = []
    for _ in range(7):
        stop = stop_at_question(8)
        with suppress(Interrupted):
            run_job(stopped, digits, taught_by, spec, should_stop=stop, events=events)

    assert {event.run for event in events if isinstance(event, Resumed)} == set(runs)
    for name in runs:
        assert differing(weights(undisturbed, name), weights(stopped, name)) == [], name
    assert curves_csv(undisturbed) == curves_csv(stopped)


class TestAssistants:
    def test_each_is_a_column_and_files_of_its_own(
        self, tmp_path: Path, digits: ArrayDataset, teachers: list[TeacherInput]
    ) -> None:
        changes: dict[str, Any] = {"exports": ["safetensors", "torch_export"]}
        result = run_job(tmp_path, digits, teachers, parse_spec(ASSISTED, changes))

        columns = result.report.columns
        assert list(columns) == [
            "teacher",
            "teacher_1",
            "teacher_2",
            "assistant_1",
            "assistant_2",
            "student",
            "control",
        ]
        sizes = [columns[name].parameters for name in ("assistant_1", "assistant_2", "student")]
        assert sizes == [64 * width + width + width * 10 + 10 for width in (32, 16, 8)]
        assert all(columns[name].splits["test"].agreement is not None for name in list(columns)[3:])
        names = {artifact.name for artifact in result.artifacts}
        assert {"assistant_1.safetensors", "assistant_1.json", "assistant_2.json"} <= names
        assert "assistant_1.pt2" not in names
        assistant = load_network(tmp_path / "artifacts", run="assistant_1")
        assert assistant(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
        assert "assistant_2" in (tmp_path / "artifacts" / "report.html").read_text()

    def test_first_learns_from_the_teachers_and_the_student_from_the_last(
        self, tmp_path: Path, digits: ArrayDataset, teachers: list[TeacherInput]
    ) -> None:
        one = {**ASSISTED, "assistants": ASSISTED["assistants"][1:], "control": False}
        run_job(tmp_path / "chain", digits, teachers, parse_spec(one))

        artifacts = tmp_path / "chain" / "artifacts"
        description = parse_network((artifacts / "assistant_1.json").read_bytes())
        taught_by_it = [TeacherInput(description, artifacts / "assistant_1.safetensors")]
        alone = {"teachers": [{"model": "assistant"}], "on_weak_teacher": "warn", "control": False}
        run_job(tmp_path / "alone", digits, taught_by_it, parse_spec(alone))
        assert differing(weights(tmp_path / "chain"), weights(tmp_path / "alone")) == []

    def test_control_is_that_of_a_job_without_them(
        self, tmp_path: Path, digits: ArrayDataset, teachers: list[TeacherInput]
    ) -> None:
        without = parse_spec(ASSISTED, {"assistants": []})
        run_job(tmp_path / "with", digits, teachers, parse_spec(ASSISTED))
        run_job(tmp_path / "without", digits, teachers, without)
        controls = (weights(tmp_path / folder, "control") for folder in ("with", "without"))
        assert differing(*controls) == []


class TestGenerations:
    def test_control_trains_first_and_the_last_generation_is_the_student(
        self, tmp_path: Path, digits: ArrayDataset
    ) -> None:
        events: list[RunEvent] = []
        report = run_job(tmp_path, digits, [], parse_spec(BORN_AGAIN), events=events).report

        stages = [event.stage for event in events if isinstance(event, StageStarted)]
        assert stages[1:5] == ["control", "training", "training", "training"]
        columns = report.columns
        assert columns["teacher"] == columns["generation_2"]
        assert columns["student"].splits["test"].agreement is not None
        assert report.difference is not None
        names = {path.name for path in (tmp_path / "artifacts").iterdir()}
        assert {"generation_1.safetensors", "generation_1.json", "student.json"} <= names

    def test_generation_before_the_student_is_its_teacher(
        self, tmp_path: Path, digits: ArrayDataset
    ) -> None:
        method = {"name": "self_distillation", "temperature": 3.0}
        report = run_job(tmp_path / "born", digits, [], parse_spec({"method": method})).report
        assert report.columns["teacher"] == report.columns["control"]

        artifacts = tmp_path / "born" / "artifacts"
        description = parse_network((artifacts / "student.json").read_bytes())
        control = [TeacherInput(description, artifacts / "control.safetensors")]
        kd = {"name": "logit_kd", "temperature": 3.0, "ce_weight": 1.0, "kd_weight": 1.0}
        alone = {"teachers": [{"model": "control"}], "on_weak_teacher": "warn", "method": kd}
        run_job(tmp_path / "alone", digits, control, parse_spec(alone))
        for name in ("student", "control"):
            one, other = (weights(tmp_path / folder, name) for folder in ("born", "alone"))
            assert differing(one, other) == []

    def test_generations_begin_with_weights_of_their_own_and_the_student_with_the_controls(
        self, tmp_path: Path, digits: ArrayDataset
    ) -> None:
        """Without a teacher's term and at the same data, only first weights tell runs apart."""
        method = {**BORN_AGAIN["method"], "kd_weight": 0.0}
        run_job(tmp_path, digits, [], parse_spec({"method": method}))
        control = weights(tmp_path, "control")
        first, second = (weights(tmp_path, f"generation_{number}") for number in (1, 2))
        assert differing(control, weights(tmp_path)) == []
        assert differing(control, first) != []
        assert differing(first, second) != []
