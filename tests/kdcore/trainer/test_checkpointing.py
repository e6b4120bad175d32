"""When a state is kept, which is put off, and what is told of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdcore.methods import CrossEntropy, Objective
from kdcore.progress import CheckpointSaved, RunEvent
from kdcore.spec import TrainingSpec
from kdcore.trainer import CheckpointFolder, RunPlan
from kdcore.trainer.checkpointing import Checkpointing
from tests.kdcore.trainer.held_folder import HeldFolder
from tests.kdcore.trainer.run_plans import STEPS_PER_EPOCH, plan
from tests.kdcore.trainer.states import state

EVERY_SECONDS = 20.0


class Clock:
    """Stands still until a test turns it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run_plan(*, every_epochs: int | None = 1, steps_before: int = 0) -> RunPlan:
    return replace(
        plan([(Objective([(1.0, CrossEntropy())]), 4 * STEPS_PER_EPOCH)]),
        training=TrainingSpec(checkpoint_every_epochs=every_epochs),
        steps_before=steps_before,
    )


def checkpointing(
    folder: CheckpointFolder,
    events: list[RunEvent],
    *,
    clock: Callable[[], float] | None = None,
    kept_total_steps: int = 0,
) -> Checkpointing:
    return Checkpointing(
        folder,
        every_seconds=EVERY_SECONDS,
        report=events.append,
        device=torch.device("cpu"),
        kept_total_steps=kept_total_steps,
        clock=clock or Clock(),
    )


def keep(keeper: Checkpointing, step: int) -> None:
    keeper.keep(state(step, torch.ones(3)), training_stage="training")


def told(events: list[RunEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, CheckpointSaved)]


def test_state_is_due_by_time_from_one_state_to_the_next(tmp_path: Path) -> None:
    clock, by_time = Clock(), run_plan(every_epochs=None)
    with checkpointing(CheckpointFolder(tmp_path), [], clock=clock) as keeper:
        assert not keeper.is_due(by_time, 1)
        clock.now += EVERY_SECONDS
        assert keeper.is_due(by_time, 2)
        keep(keeper, 2)
        keeper.tell_written(wait=True)
        assert not keeper.is_due(by_time, 3)
        clock.now += EVERY_SECONDS
        assert keeper.is_due(by_time, 4)


def test_state_is_due_by_epoch_once(tmp_path: Path) -> None:
    with checkpointing(CheckpointFolder(tmp_path), []) as keeper:
        assert not keeper.is_due(run_plan(), STEPS_PER_EPOCH - 1)
        assert keeper.is_due(run_plan(), STEPS_PER_EPOCH)
        keep(keeper, STEPS_PER_EPOCH)
        keeper.tell_written(wait=True)
        assert not keeper.is_due(run_plan(), STEPS_PER_EPOCH)
        assert not keeper.is_due(run_plan(), STEPS_PER_EPOCH + 1)


def test_state_that_was_resumed_is_not_due_again(tmp_path: Path) -> None:
    kept = 10 + STEPS_PER_EPOCH
    with checkpointing(CheckpointFolder(tmp_path), [], kept_total_steps=kept) as keeper:
        assert keeper.has_kept(kept)
        assert not keeper.is_due(run_plan(steps_before=10), STEPS_PER_EPOCH)
        assert keeper.is_due(run_plan(steps_before=10), 2 * STEPS_PER_EPOCH)


def test_first_epoch_of_the_next_run_is_due(tmp_path: Path) -> None:
    kept = 4 * STEPS_PER_EPOCH
    with checkpointing(CheckpointFolder(tmp_path), [], kept_total_steps=kept) as keeper:
        assert not keeper.is_due(run_plan(steps_before=kept), STEPS_PER_EPOCH - 1)
        assert keeper.is_due(run_plan(steps_before=kept), STEPS_PER_EPOCH)


def test_state_that_falls_due_while_one_is_written_is_put_off_until_it_is_whole(
    tmp_path: Path,
) -> None:
    folder, events = HeldFolder(tmp_path), list[RunEvent]()
    with checkpointing(folder, events) as keeper:
        keep(keeper, STEPS_PER_EPOCH)
        assert not keeper.is_due(run_plan(), 2 * STEPS_PER_EPOCH)
        keeper.tell_written(wait=False)
        assert told(events) == []

        folder.may_write.set()
        keeper.tell_written(wait=True)

        assert told(events) == [STEPS_PER_EPOCH]
        assert keeper.is_due(run_plan(), 2 * STEPS_PER_EPOCH + 1)
        keep(keeper, 2 * STEPS_PER_EPOCH + 1)
    assert told(events) == [STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH + 1]
    assert folder.most_underway == 1


def test_state_that_another_process_keeps_is_not_written_here(tmp_path: Path) -> None:
    with checkpointing(CheckpointFolder(tmp_path), []) as keeper:
        keeper.pass_over(STEPS_PER_EPOCH)
        assert keeper.has_kept(STEPS_PER_EPOCH)
        assert not keeper.is_due(run_plan(), STEPS_PER_EPOCH)
    assert list(tmp_path.iterdir()) == []


def test_last_two_are_kept(tmp_path: Path) -> None:
    with checkpointing(CheckpointFolder(tmp_path), []) as keeper:
        for step in (1, 2, 3, 4):
            keep(keeper, step)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        "checkpoint-0000000003.safetensors",
        "checkpoint-0000000004.safetensors",
    ]


def test_error_of_training_comes_after_the_last_checkpoint_was_told(tmp_path: Path) -> None:
    events = list[RunEvent]()

    def keep_and_fail() -> None:
        with checkpointing(CheckpointFolder(tmp_path), events) as keeper:
            keep(keeper, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        keep_and_fail()
    assert told(events) == [1]


def test_error_of_the_disk_ends_what_it_happened_in(tmp_path: Path) -> None:
    folder, events = CheckpointFolder(tmp_path / "gone"), list[RunEvent]()
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError), checkpointing(folder, events) as keeper:
        keep(keeper, 1)
    assert told(events) == []
