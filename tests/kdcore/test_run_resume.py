"""Jobs that are stopped, at any step and any number of times, and go on."""

import itertools
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from kdcore.data import ArrayDataset, builtin, load_dataset
from kdcore.errors import IncompatibleInputs, Interrupted
from kdcore.job_runs import describe_network
from kdcore.progress import CheckpointSaved, Metrics, Resumed, RunEvent
from kdcore.run import TeacherInput
from kdcore.spec import DistillJob
from tests.kdcore.small_jobs import (
    curves_csv,
    differing,
    parse_distillation,
    run_job,
    stop_at_question,
    untrained,
    weights,
)

# What BatchNorm remembers, dropout and jitter draw, and optimizers keep is part of a resumed run.
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
    "training": {"num_epochs": 2, "batch_size": 128},
    "evaluation": {"latency": False},
    "exports": ["safetensors"],
}
STEPS_PER_EPOCH = 12


def parse_spec(**changes: Any) -> DistillJob:
    return parse_distillation(SPEC | changes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, digits: ArrayDataset) -> TeacherInput:
    return untrained(tmp_path_factory.mktemp("teacher"), describe_network(parse_spec(), digits))


def test_job_stopped_ten_times_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    run_job(undisturbed, digits, [teacher], parse_spec())
    for _ in range(10):
        with pytest.raises(Interrupted):
            run_job(stopped, digits, [teacher], parse_spec(), should_stop=stop_at_question(5))
    run_job(stopped, digits, [teacher], parse_spec())

    for name in ("student", "control"):
        assert differing(weights(undisturbed, name), weights(stopped, name)) == []
    assert curves_csv(undisturbed) == curves_csv(stopped)


def test_every_metric_point_is_told_once_over_all_attempts(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    for _ in range(3):
        stop = stop_at_question(13)
        with pytest.raises(Interrupted):
            run_job(tmp_path, digits, [teacher], parse_spec(), events=events, should_stop=stop)
    run_job(tmp_path, digits, [teacher], parse_spec(), events=events)
    told = [
        (event.run, point.name, point.step)
        for event in events
        if isinstance(event, Metrics)
        for point in event.points
    ]
    assert sum(isinstance(event, Resumed) for event in events) == 3
    assert len(told) == len(set(told)) == len(curves_csv(tmp_path).splitlines()[1:])


def test_damaged_newest_checkpoint_is_passed_over(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    spec = parse_spec(control=False)
    for _ in range(2):
        stop = stop_at_question(9)
        with pytest.raises(Interrupted):
            run_job(tmp_path / "job", digits, [teacher], spec, should_stop=stop)
    older, newest = sorted((tmp_path / "job" / "checkpoints").glob("*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    events: list[RunEvent] = []
    run_job(tmp_path / "job", digits, [teacher], spec, events=events)
    run_job(tmp_path / "undisturbed", digits, [teacher], spec)

    resumed = [event.total_steps for event in events if isinstance(event, Resumed)]
    assert resumed == [int(older.stem.split("-")[1])]
    assert differing(weights(tmp_path / "job"), weights(tmp_path / "undisturbed")) == []


def test_checkpoints_come_by_time_and_at_the_end_of_each_run(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    events: list[RunEvent] = []
    run_job(tmp_path, digits, [teacher], parse_spec(), events=events, checkpoint_seconds=1e-9)
    steps = [event.total_steps for event in events if isinstance(event, CheckpointSaved)]
    # By time all are due after the first step; those that are put off by others are of later ones.
    assert steps[0] == 1
    assert steps == sorted(set(steps))
    assert {2 * STEPS_PER_EPOCH, 4 * STEPS_PER_EPOCH} < set(steps)
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2


def test_checkpoint_by_epoch_changes_no_bit_and_a_job_may_begin_or_cease_to_ask_for_it(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    by_epoch = parse_spec(training=SPEC["training"] | {"checkpoint_every_epochs": 1})
    events: list[RunEvent] = []
    stop = stop_at_question(STEPS_PER_EPOCH + 3)
    with pytest.raises(Interrupted):
        run_job(tmp_path / "asked", digits, [teacher], by_epoch, events=events, should_stop=stop)
    run_job(tmp_path / "asked", digits, [teacher], parse_spec(), events=events)
    run_job(tmp_path / "never", digits, [teacher], parse_spec())

    steps = [event.total_steps for event in events if isinstance(event, CheckpointSaved)]
    assert steps[:2] == [STEPS_PER_EPOCH, STEPS_PER_EPOCH + 2]
    for name in ("student", "control"):
        assert differing(weights(tmp_path / "asked", name), weights(tmp_path / "never", name)) == []


def test_job_killed_while_a_checkpoint_is_half_written_goes_on_from_the_one_before(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    folder, spec = tmp_path / "job", parse_spec()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=train_until_half_written, args=(folder, teacher, there))
    process.start()
    there.close()
    assert here.recv() == "half written"
    process.kill()
    process.join()
    halves = list((folder / "checkpoints").glob(".*"))
    assert len(halves) == 1
    assert halves[0].stat().st_size > 0

    events: list[RunEvent] = []
    run_job(folder, digits, [teacher], spec, events=events)
    run_job(tmp_path / "undisturbed", digits, [teacher], spec)

    assert [each.step for each in events if isinstance(each, Resumed)] == [STEPS_PER_EPOCH]
    assert differing(weights(folder), weights(tmp_path / "undisturbed")) == []
    assert curves_csv(folder) == curves_csv(tmp_path / "undisturbed")
    assert list((folder / "checkpoints").glob(".*")) == []


def train_until_half_written(folder: Path, teacher: TeacherInput, pipe: Connection) -> None:
    """Run the job with a checkpoint each epoch, and hang where the second file is synced."""
    builtin("digits", folder / "digits")
    syncs, sync = itertools.count(), os.fsync

    def hang_at_second_file(descriptor: int) -> None:
        if next(syncs) < 2:  # of the first checkpoint: its file, then its folder
            return sync(descriptor)
        pipe.send("half written")
        threading.Event().wait()
        return None

    os.fsync = hang_at_second_file  # type: ignore[assignment]  # which takes more than descriptors
    spec = parse_spec(training=SPEC["training"] | {"checkpoint_every_epochs": 1})
    run_job(folder, load_dataset(folder / "digits"), [teacher], spec)


def test_checkpoint_of_another_job_is_refused(
    tmp_path: Path, digits: ArrayDataset, teacher: TeacherInput
) -> None:
    with pytest.raises(Interrupted):
        run_job(tmp_path, digits, [teacher], parse_spec(), should_stop=stop_at_question(5))
    other = parse_spec(training=SPEC["training"] | {"seed": 1})
    with pytest.raises(IncompatibleInputs, match="another spec"):
        run_job(tmp_path, digits, [teacher], other)
