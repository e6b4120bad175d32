"""Whole jobs with every method of the catalog: each learns, stops, goes on, and is exported."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kdcore.catalog.methods import MethodEntry, methods
from kdcore.data import ArrayDataset
from kdcore.errors import Interrupted
from kdcore.job_runs import describe_network
from kdcore.models import build_network
from kdcore.progress import RunEvent
from kdcore.report import Report
from kdcore.run import TeacherInput
from kdcore.spec import Cnn, DistillJob, NetworkDescription
from kdcore.spec.architectures import ActivationLayer, Conv, Norm, Pool
from kdcore.trainer import CheckpointFolder
from tests.kdcore.small_jobs import (
    curves_csv,
    differing,
    parse_distillation,
    run_job,
    series,
    stop_at_question,
    untrained,
    weights,
)

# What BatchNorm remembers, dropout and jitter draw, and Adam keeps is part of a resumed run.
STUDENT: dict[str, Any] = {
    "architecture": "cnn",
    "layers": [
        {"layer": "conv", "channels": 3},
        {"layer": "norm"},
        {"layer": "activation"},
        {"layer": "conv", "channels": 4},
        {"layer": "activation"},
        {"layer": "pool"},
        {"layer": "conv", "channels": 5},
        {"layer": "activation"},
        {"layer": "dropout", "probability": 0.2},
    ],
}
# Of other channels than the student's: what must be adapted is adapted by weights that train.
TEACHER = Cnn(
    layers=(
        Conv(channels=4),
        Norm(),
        ActivationLayer(),
        Conv(channels=6),
        ActivationLayer(),
        Pool(),
        Conv(channels=8),
        ActivationLayer(),
    )
)
STEPS_PER_EPOCH = 12
IN_ONE_STAGE_WITH_A_TEACHER = [
    entry for entry in methods() if entry.needs.max_teachers and len(entry.stages) == 1
]


def parse_spec(entry: MethodEntry, *, num_epochs: int, **weights: float) -> DistillJob:
    return parse_distillation(
        {
            "kind": "distill",
            "dataset": "digits",
            "teachers": [{"model": "teacher"}] * entry.needs.min_teachers,
            "on_weak_teacher": "warn",
            "student": STUDENT,
            "method": {"name": entry.name, **weights},
            # Half of the images: rkd takes time as the third power of the batch.
            "transfer": {"fraction": 0.5, "augmentation": {"name": "jitter", "pixels": 1}},
            "training": {
                "num_epochs": num_epochs,
                "batch_size": 64,
                "optimizer": {"name": "adam", "learning_rate": 0.01},
            },
            "control": entry.name == "self_distillation",  # it is the first generation
            "evaluation": {"latency": False},
            "exports": ["safetensors"],
        }
    )


@pytest.fixture(scope="module")
def student(digits: ArrayDataset) -> NetworkDescription:
    return describe_network(parse_spec(methods()[0], num_epochs=1), digits)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, student: NetworkDescription) -> TeacherInput:
    description = student.model_copy(update={"architecture": TEACHER})
    return untrained(tmp_path_factory.mktemp("teacher"), description)


class Undisturbed(NamedTuple):
    """The job of a method that ran to its end without a stop."""

    entry: MethodEntry
    spec: DistillJob
    teachers: list[TeacherInput]
    folder: Path
    report: Report


@pytest.fixture(scope="module", params=methods(), ids=lambda entry: entry.name)
def undisturbed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    digits: ArrayDataset,
    teacher: TeacherInput,
) -> Undisturbed:
    entry: MethodEntry = request.param
    spec = parse_spec(entry, num_epochs=2)
    teachers = [teacher] * entry.needs.min_teachers
    folder = tmp_path_factory.mktemp(entry.name)
    return Undisturbed(
        entry, spec, teachers, folder, run_job(folder, digits, teachers, spec).report
    )


def test_stopped_job_goes_on_in_its_stage_and_ends_with_the_same_bits(
    tmp_path: Path, digits: ArrayDataset, undisturbed: Undisturbed
) -> None:
    """Stopped inside the first stage, exactly where a second one begins, and inside that."""
    entry, spec, teachers, folder, report = undisturbed
    stops = []
    for _ in range(3):
        stop = stop_at_question(STEPS_PER_EPOCH // 2 + 1)
        with pytest.raises(Interrupted):
            run_job(tmp_path, digits, teachers, spec, should_stop=stop)
        state = CheckpointFolder(tmp_path / "checkpoints").newest()
        assert state is not None
        stops.append((state.header.step, state.header.stage_index))
    resumed = run_job(tmp_path, digits, teachers, spec)

    last_stage = len(entry.stages) - 1
    assert stops == [(6, 0), (12, last_stage), (18, last_stage)]
    assert differing(weights(folder), weights(tmp_path)) == []
    assert curves_csv(folder) == curves_csv(tmp_path)
    assert report.columns == resumed.report.columns


def test_student_is_exported_without_what_only_training_needs(
    undisturbed: Undisturbed, student: NetworkDescription
) -> None:
    """simkd's alone keeps its projector and the teacher's classifier: it answers with them."""
    plain = build_network(student, device="meta").state_dict()
    exported = weights(undisturbed.folder).keys()
    files = {path.stem for path in (undisturbed.folder / "artifacts").glob("*.safetensors")}

    assert (exported == plain.keys()) == (undisturbed.entry.name != "simkd")
    assert not any(name.startswith("peer") for name in files)


@pytest.mark.parametrize("entry", IN_ONE_STAGE_WITH_A_TEACHER, ids=lambda entry: entry.name)
def test_method_alone_brings_the_student_closer_to_what_it_compares(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput, entry: MethodEntry
) -> None:
    """Without labels, so that what falls is the method's own loss."""
    events: list[RunEvent] = []
    short = {"warmup_epochs": 0.5} if "warmup_epochs" in entry.spec.model_fields else {}
    spec = parse_spec(entry, num_epochs=5, ce_weight=0.0, **short)

    run_job(tmp_path, digits, [teacher], spec, events=events)

    losses = series(events)["loss"]
    # From its peak on, for the warm-up holds a loss down.
    assert losses[-1] < 0.9 * max(losses)
