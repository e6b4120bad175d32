"""Jobs whose student learns layers of its teacher: stages, adapters, clipping, exports."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.data import ArrayDataset
from kdcore.errors import Interrupted
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import Resumed, RunEvent
from kdcore.run import TeacherInput
from kdcore.spec import Cnn, DistillJob
from kdcore.spec.architectures import ActivationLayer, Conv, Norm, Pool
from kdcore.trainer import CheckpointFolder, JobState
from tests.kdcore.small_jobs import (
    parse_distillation,
    run_job,
    series,
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
            {"layer": "conv", "channels": 3},
            {"layer": "norm"},
            {"layer": "activation"},
            {"layer": "pool"},
            {"layer": "conv", "channels": 5},
            {"layer": "activation"},
            {"layer": "dropout", "probability": 0.2},
        ],
    },
    "training": {
        "num_epochs": 2,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "learning_rate": 0.02},
        "gradient_clip_norm": 5.0,
    },
    "control": False,
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
STEPS_PER_EPOCH = 12
TEACHER = Cnn(
    layers=(
        Conv(channels=4),
        Norm(),
        ActivationLayer(),
        Pool(),
        Conv(channels=6),
        ActivationLayer(),
    )
)
FLOW = {"teacher": ["layers.2", "layers.5"], "student": ["layers.2", "layers.5"]}
FSP = {"name": "fsp", "layers": [{**FLOW, "adapter": "conv1x1"}]}

PAIR = {"teacher": "layers.5", "student": "layers.5", "adapter": "conv1x1"}
FITNET = {"name": "fitnet", "layers": [PAIR]}
MATCHING = {
    "name": "feature_matching",
    "layers": [PAIR, {"teacher": "layers.2", "student": "layers.1", "adapter": "conv1x1"}],
}
ATTENTION = {"name": "attention", "layers": [{"teacher": "layers.2", "student": "layers.2"}]}

IN_TWO_STAGES = [pytest.param(FSP, id="fsp"), pytest.param(FITNET, id="fitnet")]
WITH_ADAPTERS = [*IN_TWO_STAGES, pytest.param(MATCHING, id="feature_matching")]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    description = describe_network(parse_spec(FSP), digits)
    description = description.model_copy(update={"architecture": TEACHER})
    return untrained(tmp_path_factory.mktemp("teacher"), description)


def parse_spec(method: dict[str, Any], **training: Any) -> DistillJob:
    fields = SPEC | {"method": method, "training": SPEC["training"] | training}
    return parse_distillation(fields)


def state_after(
    num_steps: int, folder: Path, digits: ArrayDataset, teacher: TeacherInput, spec: DistillJob
) -> JobState:
    """Interrupt the job after `num_steps` steps and read the checkpoint that it leaves."""
    with pytest.raises(Interrupted):
        run_job(folder, digits, [teacher], spec, should_stop=stop_at_question(num_steps + 1))
    state = CheckpointFolder(folder / "checkpoints").newest()
    assert state is not None
    assert state.header.step == num_steps
    return state


@pytest.mark.parametrize(("num_steps", "stage"), [(5, "fsp"), (STEPS_PER_EPOCH + 7, "training")])
def test_resumed_job_says_in_which_stage_it_goes_on(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, num_steps: int, stage: str
) -> None:
    spec = parse_spec(FSP)
    state_after(num_steps, tmp_path, digits, teacher, spec)
    events: list[RunEvent] = []

    result = run_job(tmp_path, digits, [teacher], spec, events=events)

    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert (resumed.run, resumed.training_stage, resumed.step) == ("student", stage, num_steps)
    log = (tmp_path / "artifacts" / "training.log").read_text()
    assert f"resumed student at step {num_steps} of stage {stage}" in log
    flow = "student's layers.2 to layers.5 from teacher's layers.2 to layers.5"
    assert f"layers: {flow} by conv1x1\n" in log
    assert [each.name for each in result.report.stages["student"]] == ["fsp", "training"]


@pytest.mark.parametrize("method", WITH_ADAPTERS)
def test_adapters_train_and_are_not_exported(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    spec = parse_spec(method)
    early = state_after(1, tmp_path, digits, teacher, spec)
    late = state_after(5, tmp_path / "late", digits, teacher, spec)
    run_job(tmp_path, digits, [teacher], spec)

    assert early.objective
    assert all(
        not torch.equal(early.objective[name], late.objective[name]) for name in early.objective
    )
    description = describe_network(spec, digits)
    assert weights(tmp_path).keys() == build_network(description).state_dict().keys()


@pytest.mark.parametrize("method", WITH_ADAPTERS)
def test_adapters_count_in_the_clipped_norm(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    plain = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0}
    stages = [{"stage": parse_spec(method).method.STAGES[0], "optimizer": plain}]
    spec = parse_spec(method, stages=stages, schedule={"name": "constant"}, gradient_clip_norm=0.01)
    early = state_after(1, tmp_path / "early", digits, teacher, spec)
    late = state_after(2, tmp_path / "late", digits, teacher, spec)

    def distance(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> float:
        names = [name for name in before if name.endswith(("weight", "bias"))]
        return sum(float((after[name] - before[name]).square().sum()) for name in names)

    in_adapters = distance(early.objective, late.objective)
    assert in_adapters > 0
    whole = (in_adapters + distance(early.network, late.network)) ** 0.5
    assert whole == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("method", IN_TWO_STAGES)
def test_second_stage_begins_with_an_optimizer_that_remembers_nothing(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    """The trap: the first stage's momentum kept on into the second."""
    spec = parse_spec(method)
    last_of_first = state_after(STEPS_PER_EPOCH - 1, tmp_path / "first", digits, teacher, spec)
    first_of_second = state_after(STEPS_PER_EPOCH, tmp_path / "second", digits, teacher, spec)

    assert last_of_first.optimizer
    assert (first_of_second.header.stage_index, first_of_second.optimizer) == (1, {})


@pytest.mark.parametrize("method", IN_TWO_STAGES)
def test_first_stage_lowers_its_loss_and_leaves_the_classifier_alone(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, method: dict[str, Any]
) -> None:
    longer = [{"stage": parse_spec(method).method.STAGES[0], "num_epochs": 5}]
    spec = parse_spec(method, stages=longer)

    events: list[RunEvent] = []
    run_job(tmp_path / "whole", digits, [teacher], spec, events=events)
    before = state_after(1, tmp_path / "before", digits, teacher, spec)
    after = state_after(5 * STEPS_PER_EPOCH, tmp_path / "after", digits, teacher, spec)

    losses = series(events)["hint" if spec.method.name == "fitnet" else "fsp"]
    assert losses[-1] < 0.7 * losses[0]
    for name in ("classifier.weight", "classifier.bias"):
        assert torch.equal(before.network[name], after.network[name])


@pytest.mark.parametrize("method", [FSP, MATCHING, ATTENTION], ids=lambda method: method["name"])
def test_student_learns_layers_of_a_teacher_of_another_task(
    tmp_path: Path, digits: ArrayDataset, method: dict[str, Any]
) -> None:
    spec = parse_spec(method, num_epochs=1)
    description = describe_network(spec, digits).model_copy(
        update={"architecture": TEACHER, "num_classes": 3, "class_names": ("cat", "dog", "eel")}
    )
    events: list[RunEvent] = []

    run_job(tmp_path, digits, [untrained(tmp_path, description)], spec, events=events)

    assert {"cross_entropy", method["name"]} <= series(events).keys()
