"""How long training stands still for a checkpoint: written by the loop itself, or behind it.

    python -m benchmarks.checkpoint_stall

A resnet34 with Adam trains on CIFAR-sized images, with a checkpoint about twice a second, which is
forty times as often as a worker makes one. "In the loop" copies, writes, syncs and digests
between two steps; "behind it" copies there, and the rest is done by `kdcore.trainer`'s writer. Both
write the same file. Rounds alternate with training that keeps nothing, so that a noisy machine
disturbs all alike.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import machine, write_result
from kdcore.data import ArraySplit, TrainView
from kdcore.devices import Compute, choose_compute, computing
from kdcore.methods import MethodInputs, build_stages
from kdcore.models import Classifier, build_network, channels_last
from kdcore.spec import (
    Adam,
    ConstantSchedule,
    ImageInput,
    NetworkDescription,
    NoAugmentation,
    TorchvisionClassifier,
    TrainingSpec,
    TransferSpec,
)
from kdcore.trainer import CheckpointFolder, JobState, RunPlan, StagePlan
from kdcore.trainer.checkpointing import Checkpointing
from kdcore.trainer.checkpoints import CheckpointHeader, SavedCheckpoint, Tensors
from kdcore.trainer.history import History
from kdcore.trainer.loop import TrainingLoop, Watch
from kdcore.trainer.optimizers import optimizer_tensors
from kdcore.trainer.recorder import Recorder

BATCH_SIZE = 32
EVERY_SECONDS = 0.5
DESCRIPTION = NetworkDescription(
    architecture=TorchvisionClassifier(architecture="torchvision/resnet34"),
    input=ImageInput(channels=3, height=32, width=32, mean=(0.5,) * 3, std=(0.25,) * 3),
    num_classes=100,
)


@dataclass
class Measured:
    """What one way of keeping states took, over all rounds."""

    folder: Path
    """Where rounds have folders of their own."""
    size_bytes: int = 0
    steps_per_second: list[float] = field(default_factory=list)
    stall_milliseconds: list[float] = field(default_factory=list)
    write_milliseconds: list[float] = field(default_factory=list)


class TimedFolder(CheckpointFolder):
    """Notes how long each file takes, in whichever thread it is written."""

    def __init__(self, measured: Measured) -> None:
        super().__init__(Path(tempfile.mkdtemp(dir=measured.folder)))
        self._measured = measured

    def save(self, header: CheckpointHeader, tensors: Tensors) -> SavedCheckpoint:
        """Save, timed."""
        started = time.perf_counter()
        saved = super().save(header, tensors)
        self._measured.write_milliseconds.append(1000 * (time.perf_counter() - started))
        self._measured.size_bytes = saved.size_bytes
        return saved


Way = Callable[[TrainingLoop, ExitStack, Measured], Watch]


def main() -> None:
    """Measure, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="steps of each round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="the disk to write to")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    compute = choose_compute(device="cpu", precision="float32", num_threads=options.threads)
    plan = plan_of(options.steps, compute)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, computing(compute):
        ways: dict[str, Way] = {
            "no checkpoints": keep_nothing,
            "in the loop": write_in_the_loop,
            "behind it": write_behind,
        }
        for way in ways.values():
            train(plan, compute, way, Measured(Path(folder)))  # warm-up
        measured = {name: Measured(Path(folder)) for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                train(plan, compute, way, measured[name])
    report(measured, options)


def plan_of(num_steps: int, compute: Compute) -> RunPlan:
    """Plan one epoch of random images, from labels alone."""
    generator = np.random.default_rng(0)
    images_NHWC = generator.integers(0, 256, (num_steps * BATCH_SIZE, 32, 32, 3), np.uint8)
    view = TrainView(
        ArraySplit(images_NHWC, generator.integers(0, 100, len(images_NHWC))),
        transfer=TransferSpec(augmentation=NoAugmentation()),
        batch_size=BATCH_SIZE,
        seed=0,
        device=compute.device,
    )
    (stage,) = build_stages(None, MethodInputs(DESCRIPTION))
    training = TrainingSpec(num_epochs=1, batch_size=BATCH_SIZE, optimizer=Adam())
    return RunPlan(
        run="network",
        classifier=Classifier(channels_last(build_network(DESCRIPTION, seed=0)), DESCRIPTION.input),
        teacher=None,
        view=view,
        training=training,
        stages=(
            StagePlan(
                name=stage.name,
                objective=stage.objective,
                optimizer=training.optimizer,
                schedule=ConstantSchedule(),
                first_step=0,
                num_steps=num_steps,
            ),
        ),
        evaluate_every_epochs=2,
        steps_before=0,
        job_steps=num_steps,
    )


def train(plan: RunPlan, compute: Compute, way: Way, measured: Measured) -> None:
    """Train one epoch; waiting for the last file is no part of the speed."""
    loop = TrainingLoop(plan, compute=compute, recorder=Recorder(History(), lambda _event: None))
    with ExitStack() as stack:
        watch = way(loop, stack, measured)
        started = time.perf_counter()
        loop.train(watch, dict)
        measured.steps_per_second.append(plan.num_steps / (time.perf_counter() - started))


def keep_nothing(_loop: TrainingLoop, _stack: ExitStack, _measured: Measured) -> Watch:
    """Make a watch that never saves."""
    return watch_of(is_due=lambda: False, save=lambda: None, tell_written=lambda: None)


def write_in_the_loop(loop: TrainingLoop, _stack: ExitStack, measured: Measured) -> Watch:
    """Make a watch that writes between two steps."""
    checkpoints = TimedFolder(measured)
    written_at = time.monotonic()

    def save() -> None:
        nonlocal written_at
        started = time.perf_counter()
        state = state_of(loop)
        checkpoints.save(state.header, state.changing() | state.settled())
        measured.stall_milliseconds.append(1000 * (time.perf_counter() - started))
        written_at = time.monotonic()

    return watch_of(
        is_due=lambda: time.monotonic() - written_at >= EVERY_SECONDS,
        save=save,
        tell_written=lambda: None,
    )


def write_behind(loop: TrainingLoop, stack: ExitStack, measured: Measured) -> Watch:
    """Make a watch that copies between two steps, as jobs do."""
    keeper = stack.enter_context(
        Checkpointing(
            TimedFolder(measured),
            every_seconds=EVERY_SECONDS,
            report=lambda _event: None,
            device=loop.compute.device,
            kept_total_steps=0,
        )
    )

    def save() -> None:
        started = time.perf_counter()
        keeper.keep(state_of(loop), training_stage=loop.stage.name)
        measured.stall_milliseconds.append(1000 * (time.perf_counter() - started))

    return watch_of(
        is_due=lambda: keeper.is_due(loop.plan, loop.step),
        save=save,
        tell_written=lambda: keeper.tell_written(wait=False),
    )


def watch_of(
    *, is_due: Callable[[], bool], save: Callable[[], None], tell_written: Callable[[], None]
) -> Watch:
    """Make a watch of a loop that nobody stops."""
    return Watch(
        report=lambda _event: None,
        should_stop=lambda: False,
        tell_written=tell_written,
        is_checkpoint_due=is_due,
        save=lambda _loop: save(),
        time_left_seconds=lambda: 1.0,
    )


def state_of(loop: TrainingLoop) -> JobState:
    """Take the state of a job that is this one run."""
    sums, count = loop.window.state()
    history = loop.recorder.history
    header = CheckpointHeader(
        job_digest="",
        run=loop.plan.run,
        stage_index=loop.stage_index,
        training_stage=loop.stage.name,
        step=loop.step,
        total_steps=loop.step,
        num_threads=loop.compute.num_threads,
        trained_seconds=0.0,
        window_count=count,
        history_order=history.names(),
        finished_runs=[],
        log=[],
    )
    return JobState(
        header=header,
        network=dict(loop.network.state_dict()),
        optimizer=optimizer_tensors(loop.optimizer),
        objective=dict(loop.objective.state_dict()),
        window=sums,
        finished={},
        history=history,
    )


def report(measured: dict[str, Measured], options: Any) -> None:
    """Print medians and spread, and write them with the machine they were measured on."""
    size_bytes = max(each.size_bytes for each in measured.values())
    print(f"checkpoints of {size_bytes / 1e6:.0f} MB, {options.threads} threads")
    for name, each in measured.items():
        print(f"{name}: {spread(each.steps_per_second, 2)} steps/s")
        if each.stall_milliseconds:
            print(
                f"  {len(each.stall_milliseconds)} checkpoints: the loop stood still for "
                f"{spread(each.stall_milliseconds, 0)} ms, each was written in "
                f"{spread(each.write_milliseconds, 0)} ms"
            )
    write_result(
        options.out / f"checkpoint_stall_{datetime.now(UTC).date()}.json",
        {
            "what": "resnet34 with Adam, batches of 32 images of 32x32, a checkpoint due every "
            f"{EVERY_SECONDS} s",
            "machine": machine(options.threads),
            "rounds": options.rounds,
            "steps_per_round": options.steps,
            "checkpoint_bytes": size_bytes,
            "steps_per_second": {name: each.steps_per_second for name, each in measured.items()},
            "stall_milliseconds": {
                name: each.stall_milliseconds for name, each in measured.items()
            },
            "write_milliseconds": {
                name: each.write_milliseconds for name, each in measured.items()
            },
        },
    )


def spread(values: list[float], digits: int) -> str:
    """Tell median and range."""
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
