"""Runs of one tiny network, stage by stage, as the tests of the trainer take them."""

from collections.abc import Sequence

import numpy as np
import torch

from kdcore.data import TrainView
from kdcore.data.dataset import ArraySplit
from kdcore.methods import Objective
from kdcore.models import Classifier, build_network
from kdcore.spec import (
    ConstantSchedule,
    ImageInput,
    Mlp,
    NetworkDescription,
    NoAugmentation,
    Sgd,
    TrainingSpec,
    TransferSpec,
)
from kdcore.teacher import Teacher
from kdcore.trainer import RunPlan, StagePlan

DESCRIPTION = NetworkDescription(
    architecture=Mlp(hidden=(6,)),
    input=ImageInput(channels=1, height=2, width=2),
    num_classes=3,
)
NUM_EXAMPLES, BATCH_SIZE, STEPS_PER_EPOCH = 24, 8, 3


def view() -> TrainView:
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_EXAMPLES, 2, 2, 1), dtype=np.uint8)
    labels_N = np.arange(NUM_EXAMPLES, dtype=np.int64) % 3
    return TrainView(
        ArraySplit(pixels, labels_N),
        transfer=TransferSpec(augmentation=NoAugmentation()),
        batch_size=BATCH_SIZE,
        seed=0,
        device=torch.device("cpu"),
    )


def plan(stages: Sequence[tuple[Objective, int]], *, teacher: Teacher | None = None) -> RunPlan:
    planned: list[StagePlan] = []
    for number, (objective, num_steps) in enumerate(stages):
        planned.append(
            StagePlan(
                name=f"stage {number}",
                objective=objective,
                optimizer=Sgd(learning_rate=0.1, momentum=0.9),
                schedule=ConstantSchedule(),
                first_step=planned[-1].end_step if planned else 0,
                num_steps=num_steps,
            )
        )
    network = build_network(DESCRIPTION, seed=1)
    return RunPlan(
        run="student",
        classifier=Classifier(network, DESCRIPTION.input),
        teacher=teacher,
        view=view(),
        training=TrainingSpec(batch_size=BATCH_SIZE),
        stages=tuple(planned),
        evaluate_every_epochs=1,
        steps_before=0,
        job_steps=planned[-1].end_step,
    )
