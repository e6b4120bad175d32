"""Images per second of a KD step, ours against RepDistiller's own loop, interleaved in one run.

resnet56 teaches resnet20 at batch 64 on CIFAR-sized images; the teacher runs at every step.
Needs a checkout of RepDistiller (https://github.com/HobbitLong/RepDistiller), which is not part
of this project:

    taskset -c 0,1 python -m benchmarks.kd_step_speed --peer ../RepDistiller

Both train the same two architectures on the same random images (their content does not change
the speed). The peer runs `helper.loops.train_distill` with its own networks, loss, transforms and
a DataLoader with the number of workers that is best for it. Ours is `kdcore.trainer`'s loop with
crop and flip. Rounds alternate, so that a noisy machine disturbs both alike.
"""

import argparse
import contextlib
import io
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.measuring import machine, write_result
from kdcore.data import ArraySplit, TrainView
from kdcore.devices import choose_compute, computing
from kdcore.methods import MethodInputs, build_stages
from kdcore.models import Classifier, build_network, channels_last
from kdcore.models.torchvision_import import import_torchvision_models
from kdcore.spec import (
    Crop,
    ImageInput,
    LogitKd,
    NetworkDescription,
    ResnetCifar,
    Sgd,
    TrainingSpec,
    TransferSpec,
)
from kdcore.teacher import Teacher
from kdcore.trainer import RunPlan, StagePlan
from kdcore.trainer.history import History
from kdcore.trainer.loop import TrainingLoop, Watch
from kdcore.trainer.recorder import Recorder

BATCH_SIZE = 64
NUM_CLASSES = 100
Measure = Callable[[], float]


def main() -> None:
    """Measure, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of RepDistiller")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=16, help="steps of each round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    generator = np.random.default_rng(0)
    images_NHWC = generator.integers(0, 256, (options.steps * BATCH_SIZE, 32, 32, 3), np.uint8)
    labels_N = generator.integers(0, NUM_CLASSES, len(images_NHWC))
    torch.set_num_threads(options.threads)
    loops: dict[str, Measure] = {
        "RepDistiller, KD": peer_loop(options.peer, images_NHWC, labels_N),
        "Potstill, KD": our_loop(images_NHWC, labels_N, options.threads, taught=True),
        "Potstill, student alone": our_loop(images_NHWC, labels_N, options.threads, taught=False),
    }
    speeds: dict[str, list[float]] = {name: [] for name in loops}
    for measure in loops.values():
        measure()  # warm-up
    for _ in range(options.rounds):
        for name, measure in loops.items():
            speeds[name].append(measure())
    ratios = [
        ours / peer
        for ours, peer in zip(speeds["Potstill, KD"], speeds["RepDistiller, KD"], strict=True)
    ]
    report(speeds, ratios, options)


def report(speeds: dict[str, list[float]], ratios: list[float], options: Any) -> None:
    """Print medians and spread, and write them with the machine they were measured on."""
    for name, values in speeds.items():
        print(
            f"{name:26} {statistics.median(values):7.1f} images/s  "
            f"({min(values):.1f} to {max(values):.1f})"
        )
    print(
        f"ratio of KD speeds         {statistics.median(ratios):7.2f}x          "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    write_result(
        options.out / f"kd_step_speed_{datetime.now(UTC).date()}.json",
        {
            "what": "images/s, resnet56 to resnet20, batch 64, teacher run at every step",
            "machine": machine(options.threads),
            "rounds": options.rounds,
            "steps_per_round": options.steps,
            "images_per_second": speeds,
            "ratio_to_peer": ratios,
        },
    )


def our_loop(
    images_NHWC: np.ndarray[Any, Any],
    labels_N: np.ndarray[Any, Any],
    num_threads: int,
    *,
    taught: bool,
) -> Measure:
    """Make a function that trains one epoch with our loop and gives images per second."""
    compute = choose_compute(device="cpu", num_threads=num_threads)
    view = TrainView(
        ArraySplit(images_NHWC, labels_N.astype(np.int64)),
        transfer=TransferSpec(augmentation=Crop()),
        batch_size=BATCH_SIZE,
        seed=0,
        device=compute.device,
    )
    student, teacher = _our_network(20), _our_network(56)
    training = TrainingSpec(
        num_epochs=1, batch_size=BATCH_SIZE, optimizer=Sgd(learning_rate=0.01, weight_decay=5e-4)
    )
    (stage,) = build_stages(LogitKd() if taught else None, MethodInputs(_described(20)))
    plan = RunPlan(
        run="student",
        classifier=student,
        teacher=Teacher(teacher) if taught else None,
        view=view,
        training=training,
        stages=(
            StagePlan(
                name=stage.name,
                objective=stage.objective,
                optimizer=training.optimizer,
                schedule=training.schedule,
                first_step=0,
                num_steps=view.steps_per_epoch,
            ),
        ),
        evaluate_every_epochs=1,
        steps_before=0,
        job_steps=view.steps_per_epoch,
    )
    watch = Watch(
        report=lambda _event: None,
        should_stop=lambda: False,
        tell_written=lambda: None,
        is_checkpoint_due=lambda: False,
        save=lambda _loop: None,
        time_left_seconds=lambda: 1.0,
    )

    def measure() -> float:
        recorder = Recorder(History(), watch.report)
        loop = TrainingLoop(plan, compute=compute, recorder=recorder)
        with computing(compute):
            started = time.perf_counter()
            loop.train(watch, dict)
            return len(images_NHWC) / (time.perf_counter() - started)

    return measure


def _described(depth: int) -> NetworkDescription:
    return NetworkDescription(
        architecture=ResnetCifar(depth=depth),
        input=ImageInput(channels=3, height=32, width=32, mean=(0.5,) * 3, std=(0.25,) * 3),
        num_classes=NUM_CLASSES,
    )


def _our_network(depth: int) -> Classifier:
    description = _described(depth)
    return Classifier(channels_last(build_network(description, seed=0)), description.input)


def peer_loop(
    checkout: Path, images_NHWC: np.ndarray[Any, Any], labels_N: np.ndarray[Any, Any]
) -> Measure:
    """Make a function that trains one epoch with RepDistiller's own loop."""
    import_torchvision_models()
    sys.path.insert(0, str(checkout))
    from dataset.cifar100 import CIFAR100Instance  # type: ignore[import-not-found]
    from distiller_zoo import DistillKL  # type: ignore[import-not-found]
    from helper.loops import train_distill  # type: ignore[import-not-found]
    from models import model_dict  # type: ignore[import-not-found]
    from torchvision import transforms

    data = CIFAR100Instance.__new__(CIFAR100Instance)
    data.data, data.targets, data.target_transform = images_NHWC, labels_N.tolist(), None
    data.transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
        ]
    )
    loader = torch.utils.data.DataLoader(data, BATCH_SIZE, shuffle=True, num_workers=0)
    student = model_dict["resnet20"](num_classes=NUM_CLASSES)
    teacher = model_dict["resnet56"](num_classes=NUM_CLASSES)
    optimizer = torch.optim.SGD(student.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    criteria = nn.ModuleList([nn.CrossEntropyLoss(), DistillKL(4), DistillKL(4)])
    options = SimpleNamespace(distill="kd", gamma=0.1, alpha=0.9, beta=0, print_freq=10**9)

    def measure() -> float:
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            train_distill(
                1, loader, nn.ModuleList([student, teacher]), criteria, optimizer, options
            )
        return len(images_NHWC) / (time.perf_counter() - started)

    return measure


if __name__ == "__main__":
    main()
