"""Jobs whose checkpoints are written while they train on."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdcore.devices import Compute
from kdcore.errors import Interrupted
from kdcore.methods import CrossEntropy, Objective
from kdcore.progress import CheckpointSaved, Metrics, RunEvent
from kdcore.spec import TrainingSpec
from kdcore.trainer import (
    CheckpointFolder,
    JobControls,
    JobState,
    JobTrainer,
    RunPlan,
    read_checkpoint,
)
from tests.kdcore.trainer.held_folder import HeldFolder
from tests.kdcore.trainer.run_plans import STEPS_PER_EPOCH, plan

NUM_EPOCHS = 5
NUM_STEPS = NUM_EPOCHS * STEPS_PER_EPOCH


def run_plan() -> RunPlan:
    return replace(
        plan([(Objective([(1.0, CrossEntropy())]), NUM_STEPS)]),
        training=TrainingSpec(checkpoint_every_epochs=1),
    )


def trainer(
    folder: CheckpointFolder,
    *,
    events: list[RunEvent] | None = None,
    before_step: Callable[[int], bool] = lambda _step: False,
) -> JobTrainer:
    """A job of one run; `before_step` is told the steps done so far, and says whether to stop."""
    resumed = folder.newest()
    steps = iter(range(resumed.header.step if resumed else 0, NUM_STEPS))
    return JobTrainer(
        runs=("student",),
        make_plan=lambda _run, _finished: run_plan(),
        evaluate=lambda _plan: {"test_accuracy": 0.5},
        digest="digest",
        compute=Compute(torch.device("cpu"), "float32", num_threads=1),
        folder=folder,
        controls=JobControls(
            report=(events if events is not None else []).append,
            should_stop=lambda: before_step(next(steps)),
            max_seconds=1000.0,
            checkpoint_every_seconds=1000.0,
        ),
        resumed=resumed,
    )


def stopped_at(step: int, folder: Path) -> JobState:
    """The state that a job leaves which does nothing more after this step."""
    with pytest.raises(Interrupted):
        trainer(CheckpointFolder(folder), before_step=lambda done: done == step).train()
    return checkpoint(folder, step)


def checkpoint(folder: Path, step: int) -> JobState:
    return read_checkpoint(folder / f"checkpoint-{step:010}.safetensors")


def told(events: list[RunEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, CheckpointSaved)]


def test_what_is_written_is_the_state_of_its_step_though_training_has_gone_on(
    tmp_path: Path,
) -> None:
    folder = HeldFolder(tmp_path / "held")

    def stop_two_epochs_later(done: int) -> bool:
        if done == 3 * STEPS_PER_EPOCH + 2:
            folder.may_write.set()
        return folder.may_write.is_set()

    with pytest.raises(Interrupted):
        trainer(folder, before_step=stop_two_epochs_later).train()

    written = checkpoint(tmp_path / "held", STEPS_PER_EPOCH)
    expected = stopped_at(STEPS_PER_EPOCH, tmp_path / "still")
    assert written.header.model_copy(update={"trained_seconds": 0.0}) == (
        expected.header.model_copy(update={"trained_seconds": 0.0})
    )
    tensors = written.changing() | written.settled()
    for name, tensor in (expected.changing() | expected.settled()).items():
        assert torch.equal(tensors[name], tensor), name
    assert written.optimizer.keys() == expected.optimizer.keys() != set()
    assert list(written.history.items()) == list(expected.history.items()) != []


def test_job_that_goes_on_from_a_state_kept_on_the_way_ends_with_the_same_bits(
    tmp_path: Path,
) -> None:
    undisturbed = trainer(CheckpointFolder(tmp_path / "undisturbed"))
    weights = undisturbed.train()["student"]
    folder = HeldFolder(tmp_path / "stopped")

    def stop_between_epochs(done: int) -> bool:
        if done == STEPS_PER_EPOCH + 2:
            folder.may_write.set()
        return folder.may_write.is_set()

    with pytest.raises(Interrupted):
        trainer(folder, before_step=stop_between_epochs).train()
    # As if the process had been killed before it could write the state at which it stopped.
    (tmp_path / "stopped" / f"checkpoint-{STEPS_PER_EPOCH + 2:010}.safetensors").unlink()

    resumed = trainer(folder)
    assert resumed.resumed is not None
    assert resumed.resumed.header.step == STEPS_PER_EPOCH
    for name, tensor in resumed.train()["student"].items():
        assert torch.equal(tensor, weights[name]), name
    assert list(resumed.recorder.history.items()) == list(undisturbed.recorder.history.items())


def test_checkpoints_come_at_the_end_of_epochs_and_of_the_run(tmp_path: Path) -> None:
    events = list[RunEvent]()
    trainer(CheckpointFolder(tmp_path), events=events).train()
    # Those in between may be put off, by the time that the one before takes to be written.
    assert told(events)[0] == STEPS_PER_EPOCH
    assert told(events)[-1] == NUM_STEPS
    assert told(events) == sorted(set(told(events)))


def test_checkpoint_is_told_after_every_metric_of_its_step(tmp_path: Path) -> None:
    """Whoever stores it on hearing of it has recorded all that a job which resumes leaves out."""
    events = list[RunEvent]()
    trainer(CheckpointFolder(tmp_path), events=events).train()
    for number, event in enumerate(events):
        if isinstance(event, CheckpointSaved):
            later = [point for each in events[number:] for point in points(each)]
            assert all(step > event.step for step in later)
    assert told(events)


def points(event: RunEvent) -> list[int]:
    return [point.step for point in event.points] if isinstance(event, Metrics) else []


def test_job_that_stops_waits_for_the_checkpoint_under_way_and_for_its_own(tmp_path: Path) -> None:
    folder, events = HeldFolder(tmp_path), list[RunEvent]()

    def stop(done: int) -> bool:
        if done == STEPS_PER_EPOCH + 1:
            folder.may_write.set()
        return folder.may_write.is_set()

    with pytest.raises(Interrupted):
        trainer(folder, events=events, before_step=stop).train()
    assert told(events) == [STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1]
    assert checkpoint(tmp_path, STEPS_PER_EPOCH + 1).header.step == STEPS_PER_EPOCH + 1


def test_full_disk_ends_the_training_as_what_it_is(tmp_path: Path) -> None:
    """The file that the writer writes to is the system's own full device."""
    name = f".checkpoint-{STEPS_PER_EPOCH:010}.safetensors.{os.getpid()}.tmp"
    events = list[RunEvent]()
    job = trainer(CheckpointFolder(tmp_path), events=events)
    (tmp_path / name).symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left") as failed:
        job.train()

    assert failed.value.errno == errno.ENOSPC
    assert told(events) == []
    assert list(tmp_path.iterdir()) == []
